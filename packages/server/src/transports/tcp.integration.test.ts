/** Raw TCP over real sockets: what a client may do on each framing. Bad input and ends have files of their own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { MessageFrame } from "@longwire/protocol";
import { openSocket, type RawSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectTcp } from "../../test/support/tcp-client.ts";
import { connectClient } from "../../test/support/ws-client.ts";
import { withPrefix } from "../wire/length-prefix.ts";

const NAMESPACES = {
  lines: { subscribe: "everybody", publish: "everybody" },
  others: { subscribe: "everybody", publish: "everybody", bareEcho: false },
  closed: { subscribe: "token" },
};
const LISTENERS = [
  { port: 0, framing: "text", channel: "lines:a" },
  { port: 0, framing: "frame", channel: "lines:b" },
  { port: 0, framing: "text", channel: "others:a" },
  { port: 0, framing: "text", channel: "closed:a" },
  { port: 0, framing: "text", channel: "readonly:a" },
];

let server: TestServer;
let json = 0;
let text = 0;
let frame = 0;
let textOthers = 0;
let textClosed = 0;
let textReadonly = 0;

beforeAll(async () => {
  server = await startServer({
    "channels-publish": "everybody",
    namespaces: JSON.stringify({ ...NAMESPACES, readonly: { publish: "nobody" } }),
    "tcp-listeners": JSON.stringify(LISTENERS),
  });
  [json = 0, text = 0, frame = 0, textOthers = 0, textClosed = 0, textReadonly = 0] = server.tcpPorts;
});

afterAll(() => server.stop());

async function subscribers(channel: string): Promise<number> {
  const { body } = await server.api("GET", `/api/channels/${encodeURIComponent(channel)}`);
  return (body as { subscribers?: number }).subscribers ?? 0;
}

async function untilSubscribers(channel: string, count: number): Promise<void> {
  for (let round = 0; round < 500 && (await subscribers(channel)) !== count; round++) await Bun.sleep(10);
  expect(await subscribers(channel)).toBe(count);
}

/** A client of a listener with a channel, once it is subscribed. */
async function openBare(port: number, channel: string): Promise<RawSocket> {
  const before = await subscribers(channel);
  const socket = await openSocket(port);
  await untilSubscribers(channel, before + 1);
  return socket;
}

describe("json", () => {
  test("[TC-1] connect, subscribe, publish, messages in order, unsubscribe", async () => {
    const bob = await connectTcp(json, { token: await server.token({ sub: "bob" }) });
    expect(bob.frames[0]).toMatchObject({ type: "connected", user: "bob" });
    expect(await bob.request({ type: "subscribe", channel: "room" })).toMatchObject({ type: "subscribed", offset: 0 });
    expect(await bob.request({ type: "publish", channel: "room", data: "own" })).toMatchObject({ offset: 1 });
    for (let data = 2; data <= 50; data++) await server.publish("room", data);
    const messages = await bob.received("room", 50);
    expect(messages.map(({ offset }) => offset)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
    expect(messages[0]).toMatchObject({ data: "own", user: "bob" });
    expect(await bob.request({ type: "unsubscribe", channel: "room" })).toMatchObject({ type: "unsubscribed" });
    bob.socket.destroy();
  });

  test("[TC-9] [RE-1] whoever comes back with a position gets what it missed, over TCP what was left over WebSocket and back", async () => {
    const { epoch } = await server.publish("away", 1);
    const since = (offset: number): object => ({ type: "subscribe", channel: "away", since: { epoch, offset } });
    const web = await connectClient(server.url);
    await web.request({ type: "subscribe", channel: "away", since: { epoch, offset: 0 } });
    await web.received("away", 1);
    web.terminate();
    for (let data = 2; data <= 20; data++) await server.publish("away", data);
    const tcp = await connectTcp(json);
    expect(await tcp.request(since(1) as Record<string, unknown>)).toMatchObject({ recovered: true, offset: 1 });
    expect((await tcp.received("away", 19)).map(({ data }) => data)).toEqual(
      Array.from({ length: 19 }, (_, at) => at + 2),
    );
    tcp.socket.destroy();
    await server.publish("away", 21);
    const again = await connectTcp(json);
    await again.request(since(20) as Record<string, unknown>);
    expect((await again.received("away", 1)).map(({ offset }) => offset)).toEqual([21]);
    again.socket.destroy();
  });

  test("[TC-9] presence: a client over TCP is seen to come and to go", async () => {
    const watcher = await connectClient(server.url);
    await watcher.request({ type: "subscribe", channel: "seen", events: true });
    const bob = await connectTcp(json, { token: await server.token({ sub: "bob" }) });
    await bob.request({ type: "subscribe", channel: "seen", presence: true });
    expect(await watcher.next(({ type }) => type === "join")).toMatchObject({ member: { user: "bob" } });
    await bob.request({ type: "unsubscribe", channel: "seen" });
    expect(await watcher.next(({ type }) => type === "leave")).toMatchObject({ member: { user: "bob" } });
    bob.socket.destroy();
    watcher.terminate();
  });

  test("[CO-1] a bad token is refused, and a good one taken on the same connection", async () => {
    const bob = await connectTcp(json, { connect: false });
    expect(await bob.request({ type: "connect", token: "none" })).toMatchObject({ type: "error", code: 300 });
    const token = await server.token({ sub: "bob" });
    expect(await bob.request({ type: "connect", token })).toMatchObject({ type: "connected", user: "bob" });
    bob.socket.destroy();
  });

  test("[TC-2] ten thousand commands in one write are answered, each once and in order", async () => {
    const client = await connectTcp(json);
    const commands = Array.from({ length: 10_000 }, (_, at) => `{"type":"ping","id":${at + 1}}\n`);
    client.socket.send(commands.join(""));
    for (let id = 1; id <= 10_000; id++) expect(await client.next()).toEqual({ type: "pong", id });
    client.socket.destroy();
  });

  test("[TC-2] commands that come byte by byte, with `\\r\\n` and empty lines between them", async () => {
    const client = await connectTcp(json, { connect: false });
    for (const byte of '\r\n{"type":"connect","id":1}\r\n\n\n{"type":"ping","id":2}\n') {
      client.socket.send(byte);
      await Bun.sleep(0);
    }
    expect([await client.next(), await client.next()]).toMatchObject([{ type: "connected", id: 1 }, { type: "pong" }]);
    client.socket.destroy();
  });

  test("[TC-5] a line that is no UTF-8, holds a NUL or is no JSON is answered, and the next one counts", async () => {
    const client = await connectTcp(json);
    const bad = [[0xff, 0xfe], [0], [...Buffer.from('{"type":"ping","a":"'), 0, ...Buffer.from('"}')], [0x7b]];
    for (const bytes of bad) {
      client.socket.send(Uint8Array.from([...bytes, 10]));
      expect(await client.next()).toMatchObject({ type: "error", code: 100 });
    }
    expect(await client.request({ type: "ping" })).toMatchObject({ type: "pong" });
    client.socket.destroy();
  });

  test("[TC-7] silence ends nothing, and the client is asked nothing", async () => {
    const quiet = await startServer({ "ping-interval-ms": "1000", "ping-timeout-ms": "100" });
    const silent = await connectTcp(quiet.tcpPorts[0]);
    const asked = await connectTcp(quiet.tcpPorts[0], { ping: true });
    const frames = await asked.readAll();
    expect(frames.map(({ type }) => type)).toEqual(["connected", "ping", "disconnect"]);
    expect(frames.at(-1)).toMatchObject({ code: 4202 });
    expect(await silent.request({ type: "ping" })).toMatchObject({ type: "pong" });
    expect(silent.frames.map(({ type }) => type)).toEqual(["connected", "pong"]);
    silent.socket.destroy();
    await quiet.stop();
  });
});

describe("half-close", () => {
  test("[TC-6] whoever has said all gets all replies, then the end", async () => {
    const client = await connectTcp(json, { connect: false });
    client.send({ type: "publish", channel: "half", data: 1, id: 1 }, { type: "history", channel: "half", id: 2 });
    client.socket.end();
    const frames = await client.readAll();
    expect(frames.map(({ type }) => type).toSorted()).toEqual(["connected", "history", "published"]);
  });

  test("[TC-6] with a subscription it goes on reading; once it is gone, it is gone", async () => {
    const client = await connectTcp(json, { connect: false });
    client.send({ type: "subscribe", channel: "half:open" });
    client.socket.end();
    await untilSubscribers("half:open", 1);
    await server.publish("half:open", "still here");
    expect(await client.received("half:open", 1)).toMatchObject([{ data: "still here" }]);
    client.socket.destroy();
    await server.publish("half:open", "gone");
    await untilSubscribers("half:open", 0);
  });

  test("[TC-6] a subscriber that leaves without a word is noticed at once, not at the next message", async () => {
    const client = await connectTcp(json);
    await client.request({ type: "subscribe", channel: "half:left" });
    client.socket.destroy();
    await untilSubscribers("half:left", 0);
  });

  test("[TC-6] half a message before the end is told", async () => {
    const client = await connectTcp(json, { connect: false });
    client.socket.send('{"type":"ping","id":1}\n{"type":"ping","id":2}');
    client.socket.end();
    expect(await client.readAll()).toMatchObject([
      { type: "connected" },
      { type: "pong", id: 1 },
      { type: "disconnect", code: 4104 },
    ]);
  });
});

describe("text", () => {
  test("[TC-3] a line is published on the listener's channel, and publications come as lines", async () => {
    const native = await connectClient(server.url);
    await native.request({ type: "subscribe", channel: "lines:a" });
    const socket = await openBare(text, "lines:a");
    socket.send("hello\r\n", "\n", "grün 🌍\n");
    expect(await socket.readUntil("🌍\n")).toBe("hello\ngrün 🌍\n");
    expect((await native.received("lines:a", 2)).map(({ data }) => data)).toEqual(["hello", "grün 🌍"]);
    await server.publish("lines:a", { a: [1] });
    await server.publish("lines:a", "two\nlines");
    await server.publish("lines:a", "AP8=", { encoding: "base64" });
    expect(await socket.readUntil("AP8=\n")).toBe('{"a":[1]}\n"two\\nlines"\nAP8=\n');
    socket.destroy();
    native.terminate();
  });

  test("[RW-4] by its namespace the sender's own lines do not come back to it", async () => {
    const alice = await openBare(textOthers, "others:a");
    const bob = await openBare(textOthers, "others:a");
    alice.send("from alice\n");
    expect(await bob.readUntil("\n")).toBe("from alice\n");
    bob.send("from bob\n");
    expect(await alice.readUntil("\n")).toBe("from bob\n");
    alice.destroy();
    bob.destroy();
  });

  test("[RW-5] [RW-6] a channel that may not be read, and a line that may not be published, end it", async () => {
    expect(await (await openSocket(textClosed)).readEnd()).toBe("");
    const reader = await openBare(textReadonly, "readonly:a");
    reader.send("not me\n");
    expect(await reader.readEnd()).toBe("");
  });
});

describe("frame", () => {
  test("[BI-2] [BI-3] every byte and every short length, through to a native client and back", async () => {
    const native = await connectClient(server.url);
    await native.request({ type: "subscribe", channel: "lines:b" });
    const socket = await openBare(frame, "lines:b");
    const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    const bodies = [everyByte, ...Array.from({ length: 20 }, (_, length) => everyByte.subarray(256 - length))];
    socket.send(...bodies.map(withPrefix));
    const messages = await native.received("lines:b", bodies.length);
    expect(messages.map(({ encoding }) => encoding)).toEqual(bodies.map(() => "base64"));
    expect(messages.map(({ data }) => data)).toEqual(bodies.map((body) => Buffer.from(body).toString("base64")));
    for (const body of bodies) expect(await readBody(socket)).toEqual(Buffer.from(body));
    for (const { data } of messages as (MessageFrame & { data: string })[]) {
      await native.request({ type: "publish", channel: "lines:b", data, encoding: "base64" });
    }
    for (const body of bodies) expect(await readBody(socket)).toEqual(Buffer.from(body));
    await server.publish("lines:b", "text");
    expect(String(await readBody(socket))).toBe("text");
    socket.destroy();
    native.terminate();
  });
});

async function readBody(socket: RawSocket): Promise<Buffer> {
  const length = Buffer.from(await socket.readBytes(4)).readUInt32BE();
  return Buffer.from(await socket.readBytes(length - 4));
}
