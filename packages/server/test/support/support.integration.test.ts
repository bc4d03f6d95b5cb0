/** The test clients themselves, against a server that answers by rote: a wrong instrument would accuse the right server. */
import { afterAll, describe, expect, test } from "bun:test";
import { closePayload, OPCODES, openSocket, openWebSocket, upgradeRequest, webSocketFrame } from "./raw-socket.ts";
import { connectClient, RequestError } from "./ws-client.ts";

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request, server) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/chunked") {
      return new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue("first ");
            await Bun.sleep(5);
            controller.enqueue("second");
            controller.close();
          },
        }),
      );
    }
    if (server.upgrade(request, { data: { greet: searchParams.has("channels") } })) return undefined;
    return new Response("plain", { status: 426 });
  },
  websocket: {
    data: {} as { greet: boolean },
    open(ws) {
      if (ws.data.greet) ws.send('{"type":"connected","session":"q","ping":0}');
    },
    message(ws, data) {
      const text = String(data);
      if (text === "burst") {
        for (let offset = 1; offset <= 1000; offset++) {
          ws.send(`{"type":"message","channel":"a","offset":${offset},"data":"${"x".repeat(offset % 300)}"}`);
        }
        return;
      }
      if (text === "bye") return ws.close(4101, "moved");
      if (text.startsWith("é")) return void ws.send(text);
      const { type, id } = JSON.parse(text) as { type: string; id?: number };
      if (type === "connect") ws.send(JSON.stringify({ type: "connected", id, session: "s1", user: "bob", ping: 0 }));
      else if (type === "ping") ws.send(JSON.stringify({ type: "pong", id }));
      else ws.send(JSON.stringify({ type: "error", id, code: 109, message: "not allowed" }));
    },
  },
});
const url = `http://127.0.0.1:${server.port}`;
const port = server.port ?? 0;

afterAll(() => server.stop(true));

describe("the WebSocket client", () => {
  test("connects, asks, and takes an error for what it is", async () => {
    const client = await connectClient(url, { token: "t" });
    expect([client.session, client.user]).toEqual(["s1", "bob"]);
    expect(await client.request({ type: "ping" })).toEqual({ type: "pong", id: 2 });
    const refused = client.request({ type: "publish", channel: "a", data: 1 });
    expect(await refused.catch((error: unknown) => error)).toBeInstanceOf(RequestError);
    expect((await client.close()).code).toBe(1000);
  });

  test("waits for the greeting where the query says enough", async () => {
    const client = await connectClient(url, { query: { channels: "a" } });
    expect(client.session).toBe("q");
    client.terminate();
    await client.closed;
  });

  test("keeps a log, hands each frame out once, and tells of an end", async () => {
    const client = await connectClient(url, { connect: false });
    client.send("burst");
    const messages = await client.received("a", 1000);
    expect(messages.map(({ offset }) => offset)).toEqual(Array.from({ length: 1000 }, (_, index) => index + 1));
    const first = await client.next((frame) => frame.type === "message");
    const second = await client.next((frame) => frame.type === "message");
    expect([first, second]).toEqual(messages.slice(0, 2));
    const waiting = client.next((frame) => frame.type === "join").catch((error: unknown) => String(error));
    client.send("bye");
    expect(await client.closed).toEqual({ code: 4101, reason: "moved" });
    expect(await waiting).toContain("4101 moved");
    expect(await client.until(() => false).catch((error: unknown) => String(error))).toContain("is closed");
  });

  test("gives up after the time that was set", async () => {
    const client = await connectClient(url, { connect: false });
    const waiting = client.next(() => true, 5).catch((error: unknown) => String(error));
    expect(await waiting).toContain("nothing in 5 ms");
    client.terminate();
  });
});

describe("the raw client", () => {
  test("reads responses by length, by chunks and to the end", async () => {
    const socket = await openSocket(port);
    socket.send(`GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /chunked HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    const first = await socket.readResponse();
    expect([first.status, first.body]).toEqual([426, "plain"]);
    const second = await socket.readResponse();
    expect([second.status, second.body]).toEqual([200, "first second"]);
    await socket.readEnd();
    socket.destroy();
  });

  test("speaks WebSocket in frames of every length, whole and in fragments", async () => {
    const socket = await openWebSocket(port, "/ws");
    socket.send(webSocketFrame("text", '{"type":', { fin: false }), webSocketFrame("continuation", '"ping","id":7}'));
    expect((await socket.readFrame())?.text).toBe('{"type":"pong","id":7}');
    const long = "é".repeat(40_000);
    socket.send(webSocketFrame("text", long));
    expect((await socket.readFrame())?.text).toBe(long);
    socket.send(webSocketFrame("text", "burst"));
    for (let offset = 1; offset <= 1000; offset++) {
      const { offset: found } = JSON.parse((await socket.readFrame())?.text ?? "{}") as { offset?: number };
      expect(found).toBe(offset);
    }
    socket.send(webSocketFrame("close", closePayload(1000)));
    const goodbye = await socket.readFrame();
    expect([goodbye?.opcode, goodbye?.code]).toEqual([OPCODES.close, 1000]);
    expect(await socket.readFrame()).toBeUndefined();
    await socket.ended;
  });

  test("sends what no library would", async () => {
    const unmasked = await openWebSocket(port, "/ws");
    unmasked.send(webSocketFrame("text", "x", { mask: false }));
    await unmasked.ended;
    const socket = await openSocket(port);
    socket.send(upgradeRequest(port, "/ws", { "Sec-WebSocket-Key": "" }));
    expect((await socket.readResponse()).status).toBe(426);
    expect(await socket.readUntil("never", 5).catch((error: unknown) => String(error))).toContain("nothing in 5 ms");
    socket.destroy();
  });
});
