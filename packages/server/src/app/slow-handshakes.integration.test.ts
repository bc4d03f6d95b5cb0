/** Handshakes that never finish, hundreds at once, beside clients that pay. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const EACH = 80;
const WAIT_MS = 60_000;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({
    "request-seconds": "4",
    "connect-timeout-ms": "3000",
    "ping-interval-ms": "2000",
    "ping-timeout-ms": "1000",
  });
});

afterAll(() => server.stop());

/** Opens a connection, says something, and drips more every 200 ms; resolves when the server has ended it. */
function dripper(port: number, first: string, drip: string): { readonly over: Promise<void>; readonly socket: Socket } {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  if (first !== "") socket.write(first);
  const timer = drip === "" ? undefined : setInterval(() => socket.writable && socket.write(drip), 200);
  const over = new Promise<void>((resolve) => {
    socket.once("end", () => socket.end());
    socket.once("close", () => {
      clearInterval(timer);
      resolve();
    });
  });
  return { over, socket };
}

test(
  "[LM-12] silent connections, dripped headers, request lines and bodies without end, silent TCP: all end in time, and others get everything",
  async () => {
    const port = Number(new URL(server.url).port);
    const tcpPort = server.tcpPorts[0] ?? 0;
    const paying = await connectClient(server.url, { ping: true });
    await paying.request({ type: "subscribe", channel: "news" });
    const wired = await connectTcp(tcpPort);
    await wired.request({ type: "subscribe", channel: "news" });

    const kinds: readonly (readonly [port: number, first: string, drip: string])[] = [
      [port, "", ""],
      [port, "GET /ws HTTP/1.1\r\nHost: a\r\n", ""],
      [port, "GET /ws HTTP/1.1\r\nHost: a\r\nX: ", "a"],
      [port, "GET /ws HTTP/1.1\r\nHost: a\r\n", "X: b\r\n"],
      [port, "GET /", "a"],
      [port, "POST /poll HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", "{"],
      [
        port,
        "POST /api/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\nContent-Length: 5000\r\n\r\n",
        "{",
      ],
      [tcpPort, "", ""],
      [tcpPort, '{"type":', "a"],
    ];
    const slow = kinds.flatMap(([to, first, drip]) => Array.from({ length: EACH }, () => dripper(to, first, drip)));
    const open = new Set(slow);
    for (const one of slow) void one.over.then(() => open.delete(one));
    let published = 0;
    while (open.size > 0) {
      await server.publish("news", published++);
      // A new client is let in meanwhile.
      (await connectClient(server.url)).terminate();
      await Bun.sleep(200);
    }
    for (let round = 0; paying.messages("news").length < published && round < 100; round++) await Bun.sleep(20);
    const everything = Array.from({ length: published }, (_, data) => data);
    expect(paying.messages("news").map(({ data }) => data)).toEqual(everything);
    expect((await wired.received("news", published)).map(({ data }) => data)).toEqual(everything);
    const { body } = await server.api("GET", "/api/stats");
    expect(body).toMatchObject({ sessions: 2 });
  },
  WAIT_MS,
);

test("[LM-12] a backend whose key is good may be slower than a stranger", async () => {
  const body = JSON.stringify({ channel: "a", data: 1 });
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.write(
    `POST /api/publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer test-api-key\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
  );
  const answer = new Promise<string>((resolve, reject) => {
    socket.once("data", (bytes) => resolve(bytes.toString()));
    socket.once("close", () => reject(new Error("closed")));
  });
  // Twice what a stranger has.
  const timer = setTimeout(() => socket.write(body), 9000);
  expect(await answer).toStartWith("HTTP/1.1 200");
  clearTimeout(timer);
  socket.destroy();
}, 30_000);
