import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Api, LIMITS, startApi } from "../../test/support/api.ts";
import { openSocket, type RawResponse, type RawSocket } from "../../test/support/raw-socket.ts";

let api: Api;
let server: Bun.Server<undefined>;
let socket: RawSocket;
beforeEach(async () => {
  api = startApi({ assets: { script: () => Promise.resolve("var Longwire;"), demo: undefined } });
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", development: false, fetch: api.http });
  socket = await openSocket(server.port ?? 0);
});
afterEach(async () => {
  socket.destroy();
  await server.stop(true);
});

const BODY = '{"channel":"room:1","data":"hi"}';

/** Head of a request with a key; `lines` are further headers. */
function head(start: string, ...lines: readonly string[]): string {
  return [start, "Host: localhost", "Authorization: Bearer key-of-all", ...lines, "", ""].join("\r\n");
}

const publishHead = (...lines: readonly string[]): string =>
  head("POST /api/publish HTTP/1.1", "Content-Type: application/json", ...lines);

async function published(response: Promise<RawResponse>): Promise<void> {
  const { status, body } = await response;
  expect([status, JSON.parse(body)]).toMatchObject([200, { results: [{ channel: "room:1" }] }]);
}

/** The connection still takes a good request. */
async function goesOn(): Promise<void> {
  socket.send(publishHead(`Content-Length: ${BODY.length}`), BODY);
  await published(socket.readResponse());
}

describe("on a socket", () => {
  test("requests of one connection follow each other, also pipelined", async () => {
    const one = publishHead(`Content-Length: ${BODY.length}`) + BODY;
    socket.send(one, one, one);
    for (let n = 0; n < 3; n++) await published(socket.readResponse());
    await goesOn();
  });

  test("[AP-19] chunked bodies, cut anywhere", async () => {
    socket.send(publishHead("Transfer-Encoding: chunked"));
    for (const char of BODY) {
      socket.send(`1\r\n${char}\r\n`);
      if (char === ",") await Bun.sleep(5);
    }
    socket.send("0\r\n\r\n");
    await published(socket.readResponse());
    await goesOn();
  });

  test("[AP-19] Expect: 100-continue", async () => {
    socket.send(publishHead("Expect: 100-continue", `Content-Length: ${BODY.length}`));
    expect(await socket.readUntil("\r\n\r\n")).toStartWith("HTTP/1.1 100 ");
    socket.send(BODY);
    await published(socket.readResponse());
  });

  test("[AP-19] HTTP/1.0 is answered and closed", async () => {
    socket.send(
      `POST /api/publish HTTP/1.0\r\nAuthorization: Bearer key-of-all\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
    );
    const answer = await socket.readEnd();
    expect(answer).toStartWith("HTTP/1.1 200 ");
    expect(answer).toContain('"channel":"room:1"');
  });

  test("[AP-19] HTTP/1.1 without Host is 400", async () => {
    socket.send("GET /api/stats HTTP/1.1\r\nAuthorization: Bearer key-of-all\r\n\r\n");
    expect((await socket.readResponse()).status).toBe(400);
  });

  test("[AP-5] a body that says it is too long is 413 before it comes", async () => {
    socket.send(publishHead(`Content-Length: ${LIMITS.bodyBytesMax + 1}`));
    const { status, body } = await socket.readResponse();
    expect([status, JSON.parse(body).error.code]).toEqual([413, 104]);
  });

  test("[AP-5] a chunked body is 413 as soon as it is too long", async () => {
    socket.send(publishHead("Transfer-Encoding: chunked"));
    const chunk = `2710\r\n${"x".repeat(10_000)}\r\n`;
    for (let n = 0; n < LIMITS.bodyBytesMax / 10_000 + 1; n++) socket.send(chunk);
    const { status, body } = await socket.readResponse();
    expect([status, JSON.parse(body).error.code]).toEqual([413, 104]);
    expect(api.control.calls).toEqual([]);
  });

  test("a body after a refusal does not become the next request", async () => {
    const trap = "GET /api/stats HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.send(
      `POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: ${trap.length}\r\n\r\n${trap}`,
    );
    expect((await socket.readResponse()).status).toBe(401);
    await goesOn();
  });

  test("a client that leaves in the middle of its body is no bug", async () => {
    socket.send(publishHead("Content-Length: 1000"), BODY);
    await Bun.sleep(20);
    socket.destroy();
    socket = await openSocket(server.port ?? 0);
    await goesOn();
    socket.send(publishHead("Transfer-Encoding: chunked"), "5\r\nabc");
    await Bun.sleep(20);
    socket.destroy();
    socket = await openSocket(server.port ?? 0);
    await goesOn();
    expect(api.errors).toEqual([]);
  });

  test("a length that is no number, or two lengths, do not get through", async () => {
    for (const lines of [["Content-Length: 3x"], ["Content-Length: 3", "Transfer-Encoding: chunked"]]) {
      const other = await openSocket(server.port ?? 0);
      other.send(publishHead(...lines), "3\r\nabc\r\n0\r\n\r\n");
      expect((await other.readResponse()).status).toBe(400);
      other.destroy();
    }
    expect(api.control.calls).toEqual([]);
  });

  test("HEAD answers as GET does, without the body", async () => {
    for (const path of ["/api/stats", "/healthz", "/longwire.js"]) {
      socket.send(head(`GET ${path} HTTP/1.1`));
      const got = await socket.readResponse();
      socket.send(head(`HEAD ${path} HTTP/1.1`));
      const text = await socket.readUntil("\r\n\r\n");
      expect(text).toStartWith("HTTP/1.1 200 ");
      expect(text.toLowerCase()).toContain(`content-length: ${got.body.length}\r\n`);
    }
    await goesOn();
  });

  test("204 has no body, and the connection goes on", async () => {
    socket.send(head("DELETE /api/channels/a/history HTTP/1.1"));
    const { status, headers } = await socket.readResponse();
    expect([status, headers.get("content-length")]).toEqual([204, undefined]);
    await goesOn();
  });

  test("names in paths reach Control as they were meant", async () => {
    socket.send(head("GET /api/channels/%E6%88%BF%2F%3F/presence HTTP/1.1"));
    expect((await socket.readResponse()).status).toBe(200);
    socket.send(head("GET /api/channels/房/presence HTTP/1.1"));
    expect((await socket.readResponse()).status).toBe(200);
    expect(api.control.calls.map(([, channel]) => channel)).toEqual(["房/?", "房"]);
    socket.send(head("GET /api/channels/%zz HTTP/1.1"));
    expect((await socket.readResponse()).status).toBe(400);
  });

  test("64 requests at once get their own answers", async () => {
    const url = `http://127.0.0.1:${server.port}/api/publish`;
    const headers = { authorization: "Bearer key-of-all", "content-type": "application/json" };
    const asked = Array.from({ length: 64 }, async (_, n) => {
      const response = await fetch(url, {
        method: "POST",
        headers,
        body: JSON.stringify({ channel: `c${n}`, data: n }),
      });
      const { results } = (await response.json()) as { results: [{ channel: string }] };
      return results[0].channel;
    });
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 64 }, (_, n) => `c${n}`));
  });
});
