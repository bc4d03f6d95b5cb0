/** Requests of one-way transports, good and bad, over real sockets: each answered in words, nothing left behind, nobody else hurt. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { CURSOR_BYTES_MAX, encodeCursor } from "@longwire/protocol";
import { isConnected, targetOf, until } from "../../test/contracts/transport.ts";
import { SSE } from "../../test/support/peer/transports.ts";
import { openSocket, type RawResponse } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

const ENDPOINTS = ["/sse", "/stream", "/poll"] as const;
const BODY_BYTES_MAX = 2_400_000;
const PAGE = "https://app.example";

let server: TestServer;
let port = 0;
/** Connected all the time: nothing that others do may hurt it. */
let bystander: TestClient;

beforeAll(async () => {
  server = await startServer({
    "body-bytes-max": String(BODY_BYTES_MAX),
    "publication-bytes-max": "65536",
    "channels-publish": "everybody",
    origins: PAGE,
    namespaces: JSON.stringify({ shut: { subscribe: "nobody" } }),
  });
  port = Number(new URL(server.url).port);
  bystander = await connectClient(server.url);
  await bystander.request({ type: "subscribe", channel: "calm" });
});

afterAll(async () => {
  bystander.terminate();
  await server.stop();
});

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** The whole answer, of a request that is refused at once. */
async function ask(path: string, { method = "GET", headers = {}, body }: Asked = {}): Promise<RawResponse> {
  const socket = await openSocket(port);
  const all: Record<string, string> = { Host: `127.0.0.1:${port}`, Connection: "close", ...headers };
  if (body !== undefined && all["Transfer-Encoding"] === undefined) {
    all["Content-Length"] ??= String(Buffer.from(body as string).length);
  }
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.send(`${method} ${path} HTTP/1.1\r\n${head.join("")}\r\n`, body ?? "");
  try {
    return await socket.readResponse();
  } finally {
    socket.destroy();
  }
}

/** The head of an answer that goes on. */
async function headOf(path: string, { method = "GET", headers = {} }: Asked = {}): Promise<string> {
  const socket = await openSocket(port);
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.send(`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${head.join("")}\r\n`);
  try {
    return (await socket.readUntil("\r\n\r\n")).toLowerCase();
  } finally {
    socket.destroy();
  }
}

/** Status, code and words of a refusal. */
async function refusalOf(path: string, asked: Asked = {}): Promise<[number, number, string]> {
  const { status, body } = await ask(path, asked);
  const { error } = JSON.parse(body) as { error: { code: number; message: string } };
  return [status, error.code, error.message];
}

const frame = (value: object): string => JSON.stringify(value);
const channels = (count: number, length = 8): string[] =>
  Array.from({ length: count }, (_, n) => `${n}-`.padEnd(length, "x"));

describe("queries", () => {
  const position = { epoch: "e", offset: 1 };
  const oversized = "A".repeat(CURSOR_BYTES_MAX + 4);
  const bad: Readonly<Record<string, string>> = {
    "nothing at all": "",
    "no channel": "channels=",
    "unknown words are no channel": "chanels=a",
    "a cursor of other characters": "channels=a&since=no%20cursor",
    "a cursor of JSON": `channels=a&since=${encodeURIComponent(frame({ a: position }))}`,
    "a cursor that is too long": `channels=a&since=${oversized}`,
    "a cursor of a bad channel": `channels=a&since=${encodeCursor(new Map([["a b", position]]))}`,
    "a cursor with a bad offset": `channels=a&since=${Buffer.from("a=e.-1").toString("base64url")}`,
    "a cursor that is no UTF-8": `channels=a&since=${Buffer.of(0xff, 0xfe, 0x3d).toString("base64url")}`,
    "a bad channel name": "channels=a%20b",
    "a channel that is too long": `channel=${"x".repeat(201)}`,
    "1,000 channels": `channels=${channels(1000).join(",")}`,
    "1,000 channels, one by one": channels(1000, 1)
      .map((channel) => `channel=${channel}`)
      .join("&"),
    "unknown frames": "channels=a&frames=rare",
    "quiet that is no flag": "channels=a&quiet=yes",
    "a session that is too long": `channels=a&session=${"s".repeat(201)}`,
    "a client that is no name": "channels=a&client=a%20b",
    "commands that are no JSON": "commands=subscribe",
    "commands of another kind": `commands=${encodeURIComponent(frame({ type: "publish", channel: "a", data: 1 }))}`,
    "a ping": `commands=${encodeURIComponent(frame({ type: "ping" }))}`,
    "a subscribe without a channel": `commands=${encodeURIComponent(frame({ type: "subscribe" }))}`,
    "the second line bad": `commands=${encodeURIComponent(`${frame({ type: "subscribe", channel: "a" })}\n{`)}`,
  };
  for (const path of ENDPOINTS) {
    test(`[OW-3] ${path}: what is not good is answered 400, in words, and subscribes nobody`, async () => {
      for (const [what, query] of Object.entries(bad)) {
        const [status, code, message] = await refusalOf(`${path}?${query}`);
        expect([what, status, code]).toEqual([what, 400, 4104]);
        expect(message.length).toBeGreaterThan(20);
      }
      expect((await server.api("GET", "/api/stats")).body).toMatchObject({ sessions: 1, subscriptions: 1 });
    });

    test(`[OW-3] ${path}: a bad token is answered 401, an expired one too, each with its code`, async () => {
      const expired = await server.token({ sub: "bob", exp: 1000 });
      for (const [token, code] of [
        ["no.token.at-all", 4300],
        [expired, 4301],
      ] as const) {
        const answer = await ask(`${path}?channels=a&token=${token}`);
        expect([answer.status, JSON.parse(answer.body)]).toMatchObject([401, { error: { code } }]);
        expect(answer.headers.get("www-authenticate")).toStartWith("Bearer");
        expect(answer.headers.get("cache-control")).toContain("no-store");
        const commands = encodeURIComponent(frame({ type: "connect", id: 1, token }));
        expect((await refusalOf(`${path}?commands=${commands}`))[1]).toBe(code);
      }
    });

    test(`[WS-10] ${path}: unknown parameters are ignored`, async () => {
      expect(await headOf(`${path}?channels=a&wait=0&utm_source=x&__proto__=1`)).toContain(" 200 ");
    });
  }

  test("[LP-3] a wait that is none", async () => {
    for (const wait of ["-1", "61", "soon", "1e3", "NaN", "0x10", "9".repeat(30)]) {
      expect([wait, ...(await refusalOf(`/poll?channels=a&wait=${wait}`)).slice(0, 2)]).toEqual([wait, 400, 4104]);
    }
    for (const path of ["/sse", "/stream"]) expect(await headOf(`${path}?channels=a&wait=soon`)).toContain(" 200 ");
  });

  test("[ES-9] [LP-6] more channels than a cursor holds, however they are named; [HS-1] a stream needs none", async () => {
    const many = channels(60, 40);
    const byQuery = `channels=${many.join(",")}`;
    const lines = many.map((channel) => frame({ type: "subscribe", channel }));
    const half = `channels=${many.slice(0, 30).join(",")}&commands=${encodeURIComponent(lines.slice(30).join("\n"))}`;
    for (const query of [byQuery, `commands=${encodeURIComponent(lines.join("\n"))}`, half]) {
      for (const path of ["/sse", "/poll"]) {
        const [status, code, message] = await refusalOf(`${path}?${query}`);
        expect([path, status, code]).toEqual([path, 400, 4104]);
        expect(message).toContain("cursor");
      }
      expect(await headOf(`/stream?${query}`)).toContain(" 200 ");
    }
  });

  test("[ES-1] the channel in the path, percent-encoded; one that is none, and more than one segment", async () => {
    expect(await headOf("/sse/caf%C3%A9%3A1%2F2")).toContain(" 200 ");
    for (const segment of ["%E9", "%", "a%20b", "%00", "x".repeat(201)]) {
      expect((await refusalOf(`/sse/${segment}`)).slice(0, 2)).toEqual([400, 4104]);
    }
    expect((await refusalOf("/sse/"))[0]).toBe(400);
    expect((await ask("/sse/a/b")).status).toBe(404);
    expect((await ask("/stream/a")).status).toBe(404);
  });

  test("[ES-5] a `Last-Event-ID` that is no cursor is refused, also where `since` is good; an empty one is none", async () => {
    const headers = { "Last-Event-ID": "not a cursor" };
    expect((await refusalOf("/sse/a?since=latest", { headers })).slice(0, 2)).toEqual([400, 4104]);
    expect((await refusalOf("/sse/a?lastEventId=%20")).slice(0, 2)).toEqual([400, 4104]);
    expect(await headOf("/sse/a?lastEventId=", { headers: { "Last-Event-ID": "" } })).toContain(" 200 ");
  });
});

describe("bodies", () => {
  const good = frame({ type: "subscribe", channel: "a" });

  test("[OW-1] what is no frame of an opening is refused", async () => {
    const bad: Readonly<Record<string, string | Uint8Array>> = {
      empty: "",
      "empty lines": "\n\r\n \n",
      "no JSON": "channels=a",
      "no object": "[]",
      "another command": frame({ type: "unsubscribe", channel: "a" }),
      "one of the server's": frame({ type: "message", channel: "a", data: 1 }),
      "one bad line behind a good one": `${good}\n${good.slice(0, -1)}`,
      "no UTF-8": Buffer.concat([Buffer.from(good.slice(0, -2)), Buffer.of(0xff), Buffer.from('"}')]),
    };
    for (const path of ["/stream", "/poll"]) {
      for (const [what, body] of Object.entries(bad)) {
        const [status, code] = await refusalOf(path, { method: "POST", body });
        expect([what, status, code]).toEqual([what, 400, 4104]);
      }
    }
  });

  test("[OW-3] one that is too large is refused as it comes, by length and in chunks", async () => {
    const chunk = `${(60_000).toString(16)}\r\n${"x".repeat(60_000)}\r\n`;
    for (const path of ["/stream", "/poll"]) {
      const byLength = { "Content-Length": String(BODY_BYTES_MAX + 1) };
      expect((await refusalOf(path, { method: "POST", headers: byLength, body: "x" })).slice(0, 2)).toEqual([
        413, 4207,
      ]);
      const headers = { "Transfer-Encoding": "chunked" };
      const body = chunk.repeat(50);
      expect((await refusalOf(path, { method: "POST", headers, body })).slice(0, 2)).toEqual([413, 4207]);
    }
  });

  // A list of a million arguments is more than a call takes.
  test("[OW-1] a great many lines are refused like one, before they are looked at; empty ones are none", async () => {
    for (const line of ["x\n", `${frame({ type: "ping" })}\n`]) {
      const body = line.repeat(Math.floor(BODY_BYTES_MAX / line.length));
      for (const query of ["", "channels=a,b&"]) {
        const [status, code, message] = await refusalOf(`/poll?${query}wait=0`, { method: "POST", body });
        expect([line, query, status, code]).toEqual([line, query, 400, 4104]);
        expect(message).toContain("at most 201 frames");
      }
    }
    const { status } = await ask("/poll?channels=a&wait=0", { method: "POST", body: "\n".repeat(BODY_BYTES_MAX) });
    expect(status).toBe(200);
  });

  test("[OW-1] in chunks it is the same body, wherever it is cut", async () => {
    const body = `${frame({ type: "connect", id: 1 })}\n${frame({ type: "subscribe", channel: "né🎉", id: 2 })}`;
    const bytes = Buffer.from(body);
    for (const size of [1, 7, bytes.length]) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size);
        chunks.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n"));
      }
      const headers = { "Transfer-Encoding": "chunked" };
      const all = Buffer.concat([...chunks, Buffer.from("0\r\n\r\n")]);
      const { status, body: answer } = await ask("/poll?wait=0", { method: "POST", headers, body: all });
      expect(status).toBe(200);
      expect((JSON.parse(answer) as { frames: object[] }).frames).toMatchObject([
        { type: "connected", id: 1 },
        { type: "subscribed", id: 2, channel: "né🎉" },
      ]);
    }
  });

  test("[OW-8] one that is cut in the middle subscribes nobody, at whatever byte", async () => {
    const body = `${good}\n${frame({ type: "subscribe", channel: "cut" })}\n`;
    for (const path of ["/stream", "/poll"]) {
      for (let length = 0; length < body.length; length += 9) {
        const socket = await openSocket(port);
        socket.send(
          `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`,
          body.slice(0, length),
        );
        if (length % 2 === 0) await Bun.sleep(1);
        socket.destroy();
      }
    }
    await until("nobody is left", async () => {
      const { body: stats } = await server.api("GET", "/api/stats");
      return (stats as { sessions: number }).sessions === 1;
    });
    expect((await server.api("GET", "/api/channels/cut")).body).toMatchObject({ subscribers: 0 });
  });
});

describe("methods", () => {
  test("[OW-3] others are answered 405 with those that are taken", async () => {
    const taken: Readonly<Record<string, string>> = {
      "/sse": "GET",
      "/sse/a": "GET",
      "/stream": "GET, POST",
      "/poll": "GET, POST",
      "/send": "POST",
    };
    for (const [path, allowed] of Object.entries(taken)) {
      for (const method of ["PUT", "DELETE", "PATCH", "HEAD", ...(allowed.includes("POST") ? [] : ["POST"])]) {
        const socket = await openSocket(port);
        socket.send(`${method} ${path}?channels=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        const head = await socket.readUntil("\r\n\r\n");
        expect([path, method, head.slice(9, 12)]).toEqual([path, method, "405"]);
        expect(head.toLowerCase()).toContain(`allow: ${allowed.toLowerCase()}`);
        socket.destroy();
      }
    }
    expect((await ask("/send")).status).toBe(405);
  });

  test("[OW-1] a client of HTTP/1.0 gets the stream to its end", async () => {
    const socket = await openSocket(port);
    socket.send("GET /stream?channels=old HTTP/1.0\r\n\r\n");
    await socket.readUntil('"subscribed"');
    await server.publish("old", "still read");
    await socket.readUntil("still read");
    socket.destroy();
  });
});

describe("pages", () => {
  const ALLOWED = [
    ["GET", "/sse?channels=a"],
    ["GET", "/stream?channels=a"],
    ["GET", "/poll?channels=a&wait=0"],
  ] as const;

  test("[OW-12] one of an allowed origin may read the answer, a refusal too", async () => {
    for (const [method, path] of ALLOWED) {
      const head = await headOf(path, { method, headers: { Origin: PAGE } });
      expect(head).toContain(" 200 ");
      expect(head).toContain(`access-control-allow-origin: ${PAGE}\r\n`);
      expect(head).toMatch(/vary: .*origin/);
      const refused = await headOf(`${path}&frames=rare`, { method, headers: { Origin: PAGE } });
      expect(refused).toContain(" 400 ");
      expect(refused).toContain(`access-control-allow-origin: ${PAGE}\r\n`);
      // Without a page there is nothing to allow.
      expect(await headOf(path)).not.toContain("access-control");
    }
  });

  test("[OW-12] one of another origin is answered 403, and may not read it; nothing is carried out", async () => {
    for (const origin of ["https://evil.example", "null", `${PAGE}.evil.example`, "http://app.example"]) {
      for (const [method, path] of [
        ...ALLOWED,
        ["POST", "/stream"],
        ["POST", "/send"],
        ["OPTIONS", "/send"],
      ] as const) {
        const body = frame({ type: "publish", channel: "calm", data: "smuggled" });
        const { status, headers } = await ask(path, { method, headers: { Origin: origin }, body });
        expect([origin, method, path, status]).toEqual([origin, method, path, 403]);
        expect(headers.get("access-control-allow-origin")).toBeUndefined();
      }
    }
    await server.publish("calm", "untouched");
    await bystander.until(() => bystander.messages("calm").length > 0);
    expect(bystander.messages("calm").map(({ data }) => data)).toEqual(["untouched"]);
  });

  test("[OW-12] what a browser asks about first is answered: methods and headers", async () => {
    for (const [path, methods] of [
      ["/sse/a", "GET"],
      ["/stream", "GET, POST"],
      ["/poll", "GET, POST"],
      ["/send", "POST"],
    ] as const) {
      const headers = {
        Origin: PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
      };
      const answer = await ask(path, { method: "OPTIONS", headers });
      expect(answer.status).toBe(204);
      expect(answer.headers.get("access-control-allow-origin")).toBe(PAGE);
      expect(answer.headers.get("access-control-allow-methods")).toBe(methods);
      expect(answer.headers.get("access-control-allow-headers")).toContain("content-type");
    }
  });

  test("[OW-11] [CM-1] no answer may be kept or held back on the way", async () => {
    for (const [, path] of ALLOWED) {
      const head = await headOf(path, { headers: { "Accept-Encoding": "gzip" } });
      expect(head).toContain("cache-control: no-store, no-transform\r\n");
      expect(head).toContain("x-accel-buffering: no\r\n");
      expect(head).toMatch(/vary: accept-encoding/);
    }
    expect(await headOf("/sse?channels=a")).toContain("content-type: text/event-stream");
    expect(await headOf("/stream?channels=a")).toContain("content-type: application/x-ndjson");
  });
});

test("[OW-2] whoever has the status 200 misses nothing that is published afterwards", async () => {
  for (let round = 1; round <= 20; round++) {
    const peer = await SSE.open(targetOf(server), { subscribe: [{ channel: "prompt" }] });
    await server.publish("prompt", round);
    expect(await peer.offsets("prompt", 1)).toEqual([round]);
    peer.drop();
  }
});

test("[OW-3] [WS-7] a channel that may not be subscribed is no bad request, unless nothing could ever be said of it", async () => {
  expect(await headOf("/sse/shut:a")).toContain(" 200 ");
  expect(await headOf("/sse?channels=shut:a,b&frames=data")).toContain(" 200 ");
  expect((await refusalOf("/sse/shut:a?frames=data"))[0]).toBe(403);
  const { cursor = "" } = await SSE.open(targetOf(server), { subscribe: [{ channel: "b" }] });
  expect((await refusalOf(`/stream?channels=shut:a&frames=data&since=${cursor}`))[0]).toBe(403);
});

test("[OW-8] after all that nobody is there but the one that was", async () => {
  await until("all others are gone", async () => {
    const { body } = await server.api("GET", "/api/stats");
    return (body as { sessions: number }).sessions <= 2;
  });
  expect(await isConnected(server, bystander.session)).toBeTrue();
  expect(bystander.isOpen).toBeTrue();
});
