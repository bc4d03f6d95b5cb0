/** Plain WebSockets at `/raw/<channel>`: text and bytes, in and out, and how they end. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { HistoryEntry } from "@longwire/protocol";
import { type BareClient, connectBare } from "../../test/support/bare-client.ts";
import { openSocket, openWebSocket, upgradeRequest, webSocketFrame } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

const NAMESPACES = JSON.stringify({
  open: { subscribe: "everybody", publish: "everybody", historySize: 1000 },
  quiet: { subscribe: "everybody", publish: "everybody", bareEcho: false },
  readonly: { subscribe: "everybody", publish: "nobody" },
  signed: { subscribe: "signed-in", publish: "signed-in" },
});

const FLAGS = { namespaces: NAMESPACES, "message-bytes-max": "262144" };

let server: TestServer;
const opened: { terminate(): void }[] = [];

beforeAll(async () => {
  server = await startServer(FLAGS);
});
afterEach(() => {
  for (const client of opened.splice(0)) client.terminate();
});
afterAll(() => server.stop());

async function raw(path: string, at: Pick<TestServer, "url"> = server): Promise<BareClient> {
  const client = await connectBare(`${at.url}/raw/${path}`);
  opened.push(client);
  return client;
}

async function native(channel: string, options: { since?: "earliest" } = {}): Promise<TestClient> {
  const client = await connectClient(server.url);
  opened.push(client);
  await client.request({ type: "subscribe", channel, ...options });
  return client;
}

async function historyOf(at: TestServer, channel: string): Promise<readonly HistoryEntry[]> {
  const { body } = await at.api("GET", `/api/channels/${encodeURIComponent(channel)}/history?limit=1000`);
  return (body as { publications: readonly HistoryEntry[] }).publications;
}

/** Waits until so many are subscribed: a plain client is not told. */
async function subscribed(channel: string, count: number, at = server): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    const { body } = await at.api("GET", `/api/channels/${encodeURIComponent(channel)}`);
    if ((body as { subscribers: number }).subscribers === count) return;
    await Bun.sleep(5);
  }
  throw new Error(`${channel} did not get ${count} subscribers`);
}

/** Every length from 0 to 300, each value at every place in some of them, and 64 KB. */
const SAMPLES: readonly Buffer<ArrayBuffer>[] = [...Array.from({ length: 301 }, (_, length) => length), 65_536].map(
  (length) => Buffer.from(Array.from({ length }, (_, at) => (at * 7 + length) % 256)),
);

const ENCODED = SAMPLES.map((bytes) => bytes.toString("base64"));

describe("text and bytes", () => {
  test("[RW-1] [RW-3] what one sends all get, text as text and bytes as bytes", async () => {
    const [ann, bob] = [await raw("open:room"), await raw("open:room")];
    await subscribed("open:room", 2);
    ann.send("hello");
    await ann.received(1);
    bob.send(Buffer.from([0, 255, 10]));
    for (const client of [ann, bob]) expect(await client.received(2)).toEqual(["hello", Buffer.from([0, 255, 10])]);
    expect(await historyOf(server, "open:room")).toMatchObject([
      { offset: 1, data: "hello" },
      { offset: 2, data: "AP8K", encoding: "base64" },
    ]);
  });

  test("[RW-2] a JSON value comes as JSON text, without greeting or anything else", async () => {
    const client = await raw("open:json?token=" + (await server.token({ sub: "ann" })));
    await subscribed("open:json", 1);
    await server.publish("open:json", { a: [1] });
    await server.publish("open:json", "é", { name: "n", history: false });
    expect(await client.received(2)).toEqual(['{"a":[1]}', "é"]);
  });

  test("[RW-3] text that looks like a command is text", async () => {
    const client = await raw("open:looks");
    for (const text of ['{"type":"subscribe","channel":"x"}', "", "ping", "\u0000"]) client.send(text);
    expect(await client.received(4)).toEqual(['{"type":"subscribe","channel":"x"}', "", "ping", "\u0000"]);
  });

  test("[RW-3] [BI-3] a message in fragments is one message, of its own kind", async () => {
    const watcher = await raw("open:pieces");
    await subscribed("open:pieces", 1);
    const socket = await openWebSocket(Number(new URL(server.url).port), "/raw/open:pieces");
    socket.send(webSocketFrame("binary", Buffer.from([1, 2]), { fin: false }), webSocketFrame("ping", "p"));
    socket.send(webSocketFrame("continuation", Buffer.from([3])), webSocketFrame("text", "t"));
    expect(await watcher.received(2)).toEqual([Buffer.from([1, 2, 3]), "t"]);
    socket.destroy();
  });

  test("[BI-3] every length and value: plain to native, in order", async () => {
    const watcher = await native("open:up");
    const sender = await raw("open:up");
    for (const bytes of SAMPLES) sender.send(bytes);
    const messages = await watcher.received("open:up", SAMPLES.length);
    expect(messages.map(({ data }) => data)).toEqual(ENCODED);
    expect(new Set(messages.map(({ encoding }) => encoding))).toEqual(new Set(["base64"]));
    expect(await sender.received(SAMPLES.length)).toEqual([...SAMPLES]);
  });

  test("[BI-3] every length and value: native to plain", async () => {
    const watcher = await raw("open:down");
    await subscribed("open:down", 1);
    const sender = await native("open:down");
    for (const data of ENCODED) sender.send({ type: "publish", channel: "open:down", data, encoding: "base64" });
    expect(await watcher.received(SAMPLES.length)).toEqual([...SAMPLES]);
  });

  test("[BI-1] [BI-3] every length and value: by HTTP to plain, and to a session alone", async () => {
    const watcher = await raw("open:http");
    await subscribed("open:http", 1);
    const publications = ENCODED.map((data) => ({ channel: "open:http", data, encoding: "base64" }));
    expect((await server.api("POST", "/api/batch", { publications })).status).toBe(200);
    expect(await watcher.received(SAMPLES.length)).toEqual([...SAMPLES]);
    const { body } = await server.api("GET", "/api/sessions?limit=1000");
    const { sessions } = body as { sessions: { session: string; channels: string[] }[] };
    const session = sessions.find(({ channels }) => channels.includes("open:http"))?.session ?? "";
    await server.api("POST", `/api/sessions/${session}/send`, { data: "/w==", encoding: "base64" });
    expect((await watcher.received(SAMPLES.length + 1)).at(-1)).toEqual(Buffer.from([255]));
  });

  test("[BI-2] frames=data carries them as base64", async () => {
    const client = await connectBare(`${server.url}/ws?frames=data&channels=open:data`);
    opened.push(client);
    await subscribed("open:data", 1);
    await server.publish("open:data", "AP8=", { encoding: "base64" });
    expect(await client.received(1)).toEqual(["AP8="]);
  });
});

test("[BI-1] [RW-6] bytes are in the history over a restart with sqlite, and come by recovery", async () => {
  const kept = await startServer({ ...FLAGS, engine: "sqlite" });
  const sender = await raw("open:kept", kept);
  const { epoch } = await kept.publish("open:kept", "first");
  for (const bytes of SAMPLES) sender.send(bytes);
  await sender.received(SAMPLES.length + 1);
  await kept.restart();
  expect((await historyOf(kept, "open:kept")).slice(1).map(({ data, encoding }) => [data, encoding])).toEqual(
    ENCODED.map((data) => [data, "base64"]),
  );
  const cursor = Buffer.from(`open:kept=${epoch}.1`).toString("base64url");
  for (const since of [cursor, "earliest"]) {
    const again = await raw(`open:kept?since=${since}`, kept);
    const expected = since === cursor ? [...SAMPLES] : ["first", ...SAMPLES];
    expect(await again.received(expected.length)).toEqual(expected);
  }
  await kept.stop();
}, 30_000);

describe("who may, and how it ends", () => {
  test("[RW-4] by the namespace, the sender is left out", async () => {
    const [ann, bob] = [await raw("quiet:room"), await raw("quiet:room")];
    await subscribed("quiet:room", 2);
    ann.send("from ann");
    await bob.received(1);
    bob.send(Buffer.from("from bob"));
    expect(await ann.received(1)).toEqual([Buffer.from("from bob")]);
    expect(bob.messages).toEqual(["from ann"]);
  });

  test("[RW-5] a message that may not be published ends the connection for good, and no other", async () => {
    const [writer, reader] = [await raw("readonly:room"), await raw("readonly:room")];
    await subscribed("readonly:room", 2);
    writer.send("hi");
    expect(await writer.closed).toMatchObject({
      code: 4103,
      reason: expect.stringContaining("readonly:room") as string,
    });
    await server.publish("readonly:room", "still here");
    expect(await reader.received(1)).toEqual(["still here"]);
  });

  test("[RW-5] [FR-11] a message larger than a client may send ends the connection, and no other", async () => {
    const [writer, reader] = [await raw("open:large"), await raw("open:large")];
    await subscribed("open:large", 2);
    writer.send(Buffer.alloc(262_145));
    expect([1009, 4207]).toContain((await writer.closed).code);
    await server.publish("open:large", "still here");
    expect(await reader.received(1)).toEqual(["still here"]);
  });

  test("[RW-6] a token says who it is, its absence that nobody is", async () => {
    const token = await server.token({ sub: "ann" });
    const ann = await raw(`signed:room?token=${token}&client=phone`);
    ann.send("hi");
    expect(await ann.received(1)).toEqual(["hi"]);
    expect(await historyOf(server, "signed:room")).toMatchObject([{ data: "hi", user: "ann" }]);
    expect((await (await raw("signed:room")).closed).code).toBe(4302);
    expect((await (await raw("signed:room?token=bad")).closed).code).toBe(4300);
  });

  test("[RW-6] a session is taken up", async () => {
    const first = await raw("open:resume");
    await subscribed("open:resume", 1);
    const { body } = await server.api("GET", "/api/sessions?limit=1000");
    const { sessions } = body as { sessions: { session: string; channels: string[] }[] };
    const session = sessions.find(({ channels }) => channels.includes("open:resume"))?.session ?? "";
    const second = await raw(`open:resume?session=${session}`);
    expect((await first.closed).code).toBe(4101);
    second.send("on");
    expect(await second.received(1)).toEqual(["on"]);
    expect((await server.api("GET", `/api/sessions/${session}`)).status).toBe(200);
  });

  test("[WS-6] what is wrong with path or query is told by the close", async () => {
    const wrong: readonly (readonly [string, string])[] = [
      ["", "channel"],
      ["a%20b", "channel"],
      ["%FF", "channel"],
      ["%zz", "channel"],
      ["a,b", "channel"],
      ["open:room?channels=b", "channels"],
      ["open:room?channel=", "channels"],
      ["open:room?since=nonsense!", "since"],
    ];
    for (const [path, says] of wrong) {
      const client = await raw(path);
      const { code, reason } = await client.closed;
      expect([path, code]).toEqual([path, 4104]);
      expect(reason).toContain(says);
      expect(client.messages).toEqual([]);
    }
  });

  test("[CH-1] a channel's name is percent-decoded", async () => {
    const client = await raw(encodeURIComponent("open:房间/100%"));
    client.send("hi");
    expect(await client.received(1)).toEqual(["hi"]);
    expect(await historyOf(server, "open:房间/100%")).toMatchObject([{ data: "hi" }]);
  });

  test("[WS-1] without an upgrade the answer is 426, without a channel there is nothing", async () => {
    const plain = await fetch(`${server.url}/raw/open:room`);
    expect(plain.status).toBe(426);
    expect(plain.headers.get("upgrade")).toBe("websocket");
    for (const path of ["/raw", "/raw/a/b"]) expect((await fetch(server.url + path)).status).toBe(404);
  });

  test("[WS-11] pages of other origins are refused", async () => {
    const port = Number(new URL(server.url).port);
    const socket = await openSocket(port);
    socket.send(upgradeRequest(port, "/raw/open:room", { Origin: "https://evil.example" }));
    expect((await socket.readResponse()).status).toBe(403);
    socket.destroy();
  });

  test("[BY-8] a server that stops says so by the close", async () => {
    const other = await startServer(FLAGS);
    const client = await raw("open:room", other);
    await subscribed("open:room", 1, other);
    await other.stop();
    expect((await client.closed).code).toBe(4200);
  });
});
