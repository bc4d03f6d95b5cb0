/** How a WebSocket begins: the handshake's bytes, and what its query says. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ConnectedFrame, encodeCursor, type Position, type SubscribedFrame } from "@longwire/protocol";
import { openSocket, openWebSocket, upgradeRequest, webSocketFrame } from "../../test/support/raw-socket.ts";
import { signToken, startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

let server: TestServer;
let port = 0;
beforeAll(async () => {
  server = await startServer({ "channels-publish": "everybody", origins: "https://shop.example" });
  port = Number(new URL(server.url).port);
});
afterAll(() => server.stop());

async function statusOf(request: string): Promise<{ status: number; head: string }> {
  const socket = await openSocket(port);
  socket.send(request);
  const head = await socket.readUntil("\r\n\r\n");
  socket.destroy();
  return { status: Number(head.slice(9, 12)), head: head.toLowerCase() };
}

async function shake(headers: Readonly<Record<string, string>>): Promise<number> {
  return (await statusOf(upgradeRequest(port, "/ws", headers))).status;
}

function openWithQuery(query: Readonly<Record<string, string>>): Promise<TestClient> {
  return connectClient(server.url, { query, connect: false });
}

const subscribedTo = (channel: string) => (frame: { type: string; channel?: string }) =>
  frame.type === "subscribed" && frame.channel === channel;

describe("the handshake", () => {
  test("[WS-1] a version 13 upgrade is taken, with or without a subprotocol, in any case of letters", async () => {
    expect(await shake({})).toBe(101);
    expect(await shake({ "Sec-WebSocket-Protocol": "chat, superchat" })).toBe(101);
    expect(await shake({ Upgrade: "WebSocket", Connection: "keep-alive, UPGRADE" })).toBe(101);
  });

  test("[WS-1] a request that asks for no upgrade is told what this is", async () => {
    const response = await fetch(`${server.url}/ws`);
    expect(response.status).toBe(426);
    expect(response.headers.get("upgrade")).toBe("websocket");
    const { error } = (await response.json()) as { error: { code: number; message: string } };
    expect(error.code).toBe(115);
    expect(error.message).toContain("WebSocket");
    expect(await shake({ Upgrade: "h2c" })).toBe(426);
  });

  test("[WS-1] a handshake that is not valid is refused", async () => {
    expect(await shake({ "Sec-WebSocket-Key": "" })).toBe(400);
    expect(await shake({ "Sec-WebSocket-Key": "abc" })).toBe(400);
    expect(await shake({ Connection: "" })).toBe(400);
    expect(await shake({ Connection: "close" })).toBe(400);
    expect(await shake({ Host: "" })).toBe(400);
    for (const version of ["", "8", "14"]) {
      const { status, head } = await statusOf(upgradeRequest(port, "/ws", { "Sec-WebSocket-Version": version }));
      expect(status).toBe(426);
      expect(head).toContain("sec-websocket-version: 13");
    }
    const post = await statusOf(upgradeRequest(port, "/ws").replace("GET", "POST"));
    expect(post.status).toBe(400);
  });

  test("[WS-1] a handshake by HTTP/1.0 is answered and hurts nobody", async () => {
    // The runtime does not tell which version of HTTP a request speaks, so it may be taken; it must not be left hanging.
    const { status } = await statusOf(upgradeRequest(port, "/ws").replace("HTTP/1.1", "HTTP/1.0"));
    expect([101, 400, 426, 505]).toContain(status);
  });

  test("[WS-11] pages of the server's own, of listed and of loopback origins may connect, others not", async () => {
    for (const origin of [
      `http://127.0.0.1:${port}`,
      "http://localhost:5173",
      "http://[::1]:3000",
      "http://shop.localhost",
      "https://shop.example",
    ]) {
      expect([origin, await shake({ Origin: origin })]).toEqual([origin, 101]);
    }
    for (const origin of [
      "https://evil.example",
      "http://shop.example",
      "https://shop.example.evil.example",
      "http://localhost.evil.example",
      "http://127.0.0.1.evil.example",
      "null",
      "file://",
      "nonsense",
    ]) {
      expect([origin, await shake({ Origin: origin })]).toEqual([origin, 403]);
    }
  });
});

describe("the query", () => {
  test("[WS-9] without one the server says nothing before the client's first frame", async () => {
    const client = await connectClient(server.url, { connect: false });
    await server.publish("nobody-listens", 1);
    expect(client.texts).toEqual([]);
    expect((await client.request({ type: "connect" })).type).toBe("connected");
    client.terminate();
  });

  test("[WS-3] [WS-4] [WS-10] channels are subscribed at once, each announced, and messages come", async () => {
    const client = await connectClient(`${server.url}/ws?channels=q:1,q:%C3%A9&channel=q%3A1&channel=a%25b&unknown=1`);
    await client.until(() => client.frames.length === 4);
    const announced = client.frames.map((frame) => `${frame.type} ${"channel" in frame ? frame.channel : ""}`);
    expect(announced[0]).toBe("connected ");
    expect(new Set(announced.slice(1))).toEqual(new Set(["subscribed a%b", "subscribed q:1", "subscribed q:é"]));
    expect(client.frames.every((frame) => !("id" in frame))).toBe(true);
    await server.publish("q:é", "hi");
    expect((await client.received("q:é", 1))[0]?.data).toBe("hi");
    // [CO-3] It is connected: another `connect` changes nothing.
    expect(await client.ask({ type: "connect" })).toMatchObject({ type: "error", code: 106 });
    client.terminate();
  });

  test("[WS-3] [WS-4] a token says who it is, `client` which device, `session` whom it takes up", async () => {
    const token = await signToken({ sub: "quentin", channels: ["q:given"] });
    const first = await connectClient(server.url, { query: { token, client: "phone" } });
    expect(first.user).toBe("quentin");
    await first.next(subscribedTo("@quentin"));
    await first.next(subscribedTo("q:given"));
    first.terminate();
    await first.closed;
    const again = await connectClient(server.url, { query: { token, session: first.session } });
    expect(again.session).toBe(first.session);
    expect(again.frames[0]).toMatchObject({ type: "connected", resumed: true });
    again.terminate();
  });

  test("[WS-5] `since` is a cursor: each channel goes on from its position, those it does not name begin as usual", async () => {
    for (const data of [1, 2, 3]) await server.publish("since:a", data);
    for (const data of [4, 5]) await server.publish("since:b", data);
    const { epoch: epochA } = await server.publish("since:a", 6);
    const { epoch: epochB } = await server.publish("since:b", 7);
    await server.publish("since:c", 8);
    const since = cursorOf({ "since:a": { epoch: epochA, offset: 2 }, "since:b": { epoch: epochB, offset: 3 } });
    const client = await connectClient(server.url, { query: { channels: "since:a,since:b,since:c", since } });
    expect((await client.received("since:a", 2)).map(({ offset }) => offset)).toEqual([3, 4]);
    expect(await client.next(subscribedTo("since:a"))).toMatchObject({ offset: 2, recovered: true });
    expect(await client.next(subscribedTo("since:b"))).toMatchObject({ offset: 3, recovered: true });
    expect(await client.next(subscribedTo("since:c"))).toMatchObject({ offset: 1, recovered: true });
    expect(client.messages("since:c")).toEqual([]);
    client.terminate();
  });

  test("[WS-5] a cursor also holds for channels the server subscribes by itself", async () => {
    const { epoch } = await server.publish("@cursor", 1);
    await server.publish("@cursor", 2);
    const token = await signToken({ sub: "cursor" });
    const since = cursorOf({ "@cursor": { epoch, offset: 1 } });
    const client = await connectClient(server.url, { query: { token, since } });
    expect((await client.received("@cursor", 1)).map(({ data }) => data)).toEqual([2]);
    client.terminate();
  });

  test("[WS-5] [IN-9] `earliest`, `latest` and `inbox` are words for every channel of the query", async () => {
    for (const data of [1, 2]) await server.publish("words", data);
    const earliest = await connectClient(server.url, { query: { channels: "words", since: "earliest" } });
    expect((await earliest.received("words", 2)).map(({ data }) => data)).toEqual([1, 2]);
    const latest = await connectClient(server.url, { query: { channels: "words", since: "latest" } });
    expect(await latest.next(subscribedTo("words"))).toMatchObject({ offset: 2 });
    const inbox = await connectClient(server.url, { query: { channels: "words", since: "inbox" } });
    // [IN-9] No user, no inbox.
    expect(await inbox.next((frame) => frame.type === "unsubscribed")).toMatchObject({ channel: "words", code: 109 });
    for (const client of [earliest, latest, inbox]) client.terminate();
  });

  test("[WS-6] a query that is not good is told by close code and reason", async () => {
    for (const [query, says] of [
      ["channels=a%20b", "channels"],
      ["channels=:a", "channels"],
      ["channel=" + "x".repeat(201), "channels"],
      ["channels=a&since=%21", "since"],
      ["channels=a&since=", undefined],
      ["frames=xml", "frames"],
      ["client=a%2Cb", "client"],
      ["session=" + "s".repeat(201), "session"],
      ["channels=" + Array.from({ length: 201 }, (_, at) => `c${at}`).join(), "channels"],
    ] as const) {
      const client = await connectClient(`${server.url}/ws?${query}`, { connect: false });
      if (says === undefined) {
        await client.next((frame) => frame.type === "subscribed");
        client.terminate();
        continue;
      }
      const { code, reason } = await client.closed;
      expect([query, code]).toEqual([query, 4104]);
      expect(reason).toContain(says);
      expect(client.frames.at(-1)).toMatchObject({ type: "disconnect", code: 4104, reconnect: false });
    }
  });

  test("[WS-6] a bad token in the query ends with 4300, an expired one with 4301", async () => {
    const bad = await openWithQuery({ token: "nonsense", channels: "a" });
    expect((await bad.closed).code).toBe(4300);
    const expired = await openWithQuery({ token: await signToken({ sub: "bob", exp: 1000 }) });
    expect((await expired.closed).code).toBe(4301);
    expect(expired.frames.map(({ type }) => type)).toEqual(["disconnect"]);
    expect(expired.frames[0]).toMatchObject({ reconnect: true });
  });

  test("[WS-7] a channel that may not be subscribed is announced, the others go on", async () => {
    const client = await connectClient(server.url, { query: { channels: "@bob,open,wms:x" } });
    expect(await client.next((frame) => frame.type === "unsubscribed")).toMatchObject({ channel: "@bob", code: 109 });
    expect(await client.next((frame) => frame.type === "unsubscribed")).toMatchObject({ channel: "wms:x", code: 109 });
    await client.next(subscribedTo("open"));
    client.terminate();
  });

  test("[WS-8] frames=data carries the bare data of publications and nothing else", async () => {
    const client = await connectClient(`${server.url}/ws?frames=d%61ta&channels=bare`, { connect: false });
    const watcher = await connectClient(server.url);
    await watcher.request({ type: "subscribe", channel: "bare" });
    await subscribers("bare", 2);
    await server.publish("bare", { text: "é" });
    await server.publish("bare", "word", { name: "named" });
    await server.publish("bare", null);
    await client.until(() => client.texts.length === 3);
    expect(client.texts).toEqual(['{"text":"é"}', "word", "null"]);
    // Another wire form of the same channel is not touched by it.
    expect((await watcher.received("bare", 3)).map(({ offset }) => offset)).toEqual([1, 2, 3]);
    client.send({ type: "ping", id: 1 });
    client.send({ type: "publish", channel: "bare", data: 4, id: 2 });
    await client.until(() => client.texts.length === 4);
    expect(client.texts.at(-1)).toBe("4");
    watcher.terminate();
    const refused = await openWithQuery({ frames: "data", token: "nonsense" });
    expect((await refused.closed).code).toBe(4300);
    expect(refused.texts).toEqual([]);
    client.terminate();
  });

  test("[WS-4] frames that come right behind the handshake wait for the query's connect", async () => {
    const token = await signToken({ sub: "eager" });
    const socket = await openSocket(port);
    const subscribe = webSocketFrame("text", JSON.stringify({ type: "subscribe", channel: "@eager", id: 1 }));
    socket.send(upgradeRequest(port, `/ws?token=${token}`), subscribe);
    await socket.readUntil("\r\n\r\n");
    const frames: ConnectedFrame[] = [];
    while (frames.length < 3) frames.push(JSON.parse((await socket.readFrame())?.text ?? "") as ConnectedFrame);
    expect(frames[0]).toMatchObject({ type: "connected", user: "eager" });
    expect(frames[1] as unknown as SubscribedFrame).toMatchObject({ type: "subscribed", channel: "@eager" });
    expect(frames[2]).toMatchObject({ type: "error", code: 107, id: 1 });
    socket.destroy();
  });

  test("[WS-2] what is no path of ours is no WebSocket", async () => {
    const refused = await openWebSocket(port, "/wss").catch((error: unknown) => String(error));
    expect(refused).toContain("answered 404");
  });
});

/** Waits until so many sessions follow a channel. */
async function subscribers(channel: string, count: number): Promise<void> {
  for (;;) {
    const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}`);
    if ((body as { subscribers: number }).subscribers === count) return;
    await Bun.sleep(5);
  }
}

function cursorOf(positions: Readonly<Record<string, Position>>): string {
  const cursor = encodeCursor(new Map(Object.entries(positions)));
  if (cursor === undefined) throw new Error("the positions do not fit");
  return cursor;
}
