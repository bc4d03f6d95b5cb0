/** What clients may say over a WebSocket, good and bad: each answered, nothing else lost. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ERRORS, type ErrorFrame, type ErrorName, type ServerFrame } from "@longwire/protocol";
import { readVectors } from "../../../protocol/test/vectors.ts";
import { closePayload, OPCODES, openWebSocket, type RawSocket, webSocketFrame } from "../../test/support/raw-socket.ts";
import { signToken, startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

interface FaultVectors {
  readonly depthMax: number;
  readonly vectors: readonly { note: string; text: string; error: ErrorName; id?: number; says?: string }[];
}

const faults = readVectors("faults.json") as FaultVectors;
const MESSAGE_BYTES_MAX = 64 * 1024;

let server: TestServer;
let port = 0;
/** Connected all the time and subscribed to `calm`: nothing that others do may hurt it. */
let bystander: TestClient;

beforeAll(async () => {
  server = await startServer({
    "channels-publish": "everybody",
    "depth-max": String(faults.depthMax),
    "message-bytes-max": String(MESSAGE_BYTES_MAX),
  });
  port = Number(new URL(server.url).port);
  bystander = await connectClient(server.url);
  await bystander.request({ type: "subscribe", channel: "calm" });
});

afterAll(async () => {
  bystander.terminate();
  await server.stop();
});

/** Publishes to `calm` and sees that the bystander gets it, with nothing missing before. */
async function expectCalm(): Promise<void> {
  const { offset } = await server.publish("calm", "still here");
  expect((await bystander.received("calm", offset)).map((message) => message.offset)).toEqual(
    Array.from({ length: offset }, (_, at) => at + 1),
  );
}

describe("frames that are no commands", () => {
  test("[FR-1] [FR-2] [FR-3] [FR-5] [FR-10] every fault of the vectors is answered, and the connection stays", async () => {
    const client = await connectClient(server.url);
    await client.request({ type: "subscribe", channel: "kept" });
    const before = client.frames.length;
    for (const { text } of faults.vectors) client.send(text);
    await client.until(() => client.frames.length >= before + faults.vectors.length);
    const answers = client.frames.slice(before) as ErrorFrame[];
    for (const [at, { note, error, id, says }] of faults.vectors.entries()) {
      const answer = answers[at];
      expect([note, answer?.type, answer?.code, answer?.id]).toEqual([note, "error", ERRORS[error].code, id]);
      if (says !== undefined) expect(answer?.message).toContain(says);
    }
    await server.publish("kept", "after all that");
    expect((await client.received("kept", 1)).map(({ data }) => data)).toEqual(["after all that"]);
    expect((await client.request({ type: "ping" })).type).toBe("pong");
    client.terminate();
  });

  test("[CO-2] a first frame that is no command is answered, and the next one connects", async () => {
    const client = await connectClient(server.url, { connect: false });
    client.send("hello");
    client.send({ type: "ping", id: 1 });
    await client.until(() => client.frames.length === 3);
    expect(client.frames.map(({ type }) => type)).toEqual(["error", "connected", "pong"]);
    client.terminate();
  });

  test("[BY-5] a binary frame ends its connection with 4100, and nobody else's", async () => {
    const client = await connectClient(server.url);
    client.send({ type: "ping", id: 1 });
    client.send(new TextEncoder().encode('{"type":"ping"}'));
    expect(await client.closed).toMatchObject({ code: 4100 });
    expect(client.frames.slice(1).map(({ type }) => type)).toEqual(["pong", "disconnect"]);
    expect(client.frames.at(-1)).toMatchObject({ code: 4100, reconnect: false });
    await expectCalm();
  });

  test("[FR-11] [BY-6] a message as large as allowed is taken, a larger one ends its connection", async () => {
    const fitting = await connectClient(server.url);
    fitting.send(publishOf(MESSAGE_BYTES_MAX));
    expect(await fitting.next((answer) => answer.type === "published")).toMatchObject({ id: 7 });
    fitting.send(publishOf(MESSAGE_BYTES_MAX + 1));
    expect([1009, 4207]).toContain((await fitting.closed).code);
    const fragmented = await openWebSocket(port, "/ws");
    const half = "x".repeat(MESSAGE_BYTES_MAX / 2 + 1);
    fragmented.send(webSocketFrame("text", half, { fin: false }), webSocketFrame("continuation", half));
    expect([1009, 4207]).toContain((await fragmented.readFrame())?.code ?? 0);
    const history = await server.api("GET", "/api/channels/large");
    expect(history.body).toMatchObject({ offset: 1 });
    await expectCalm();
  });
});

describe("fragments and broken frames", () => {
  const command = JSON.stringify({ type: "publish", id: 1, channel: "pieces", data: "é🎉" });

  test("[WS-2] a message in fragments, cut anywhere and with pings between, is one message", async () => {
    const socket = await openWebSocket(port, "/ws");
    const bytes = Buffer.from(command);
    const pieces = Array.from(bytes, (_, at) =>
      webSocketFrame(at === 0 ? "text" : "continuation", bytes.subarray(at, at + 1), { fin: at === bytes.length - 1 }),
    );
    // Each piece in a write of its own, a ping after every tenth.
    for (const [at, piece] of pieces.entries()) {
      socket.send(piece);
      if (at % 10 === 9) socket.send(webSocketFrame("ping", `${at}`));
    }
    const pongs: string[] = [];
    let published: ServerFrame | undefined;
    while (published === undefined) {
      const frame = await socket.readFrame();
      if (frame?.opcode === OPCODES.pong) pongs.push(frame.text);
      else if (frame?.text.includes('"published"') === true) published = JSON.parse(frame.text) as ServerFrame;
    }
    expect(published).toMatchObject({ id: 1, channel: "pieces" });
    expect(pongs).toEqual(Array.from({ length: Math.floor(pieces.length / 10) }, (_, at) => `${at * 10 + 9}`));
    const { body } = await server.api("GET", "/api/channels/pieces/history");
    expect(body).toMatchObject({ publications: [{ data: "é🎉" }] });
    socket.destroy();
  });

  test("[WS-2] a frame that comes byte by byte, and several frames in one packet, are the same", async () => {
    const socket = await openWebSocket(port, "/ws");
    for (const byte of webSocketFrame("text", '{"type":"ping","id":1}')) {
      socket.send(Uint8Array.of(byte));
      await Bun.sleep(0);
    }
    const many = Array.from({ length: 50 }, (_, at) => webSocketFrame("text", `{"type":"ping","id":${at + 2}}`));
    socket.send(...many);
    const ids: unknown[] = [];
    while (ids.length < 51) {
      const { type, id } = JSON.parse((await socket.readFrame())?.text ?? "{}") as { type?: string; id?: number };
      if (type === "pong") ids.push(id);
    }
    expect(ids).toEqual(Array.from({ length: 51 }, (_, at) => at + 1));
    socket.destroy();
  });

  test("[WS-2] text that is not UTF-8 ends the connection with 1007, also where a fragment hides it", async () => {
    for (const parts of [
      [webSocketFrame("text", Uint8Array.of(0x22, 0xff, 0xfe, 0x22))],
      // A surrogate, written in UTF-8; an overlong slash; a cut character.
      [webSocketFrame("text", Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22))],
      [webSocketFrame("text", Uint8Array.of(0x22, 0xc0, 0xaf, 0x22))],
      [webSocketFrame("text", Uint8Array.of(0x22, 0xe2, 0x82))],
      [webSocketFrame("text", '{"type":', { fin: false }), webSocketFrame("continuation", Uint8Array.of(0xff))],
    ]) {
      const socket = await openWebSocket(port, "/ws");
      socket.send(...parts);
      expect((await lastFrame(socket))?.code).toBe(1007);
    }
    await expectCalm();
  });

  test("[WS-12] a malformed frame ends its connection, and nobody else notices", async () => {
    const broken: Readonly<Record<string, readonly Uint8Array[]>> = {
      unmasked: [webSocketFrame("text", "{}", { mask: false })],
      compressed: [webSocketFrame("text", "{}", { reserved: 4 })],
      "reserved bit 2": [webSocketFrame("text", "{}", { reserved: 2 })],
      "reserved bit 3": [webSocketFrame("text", "{}", { reserved: 1 })],
      "opcode 3": [webSocketFrame(3, "{}")],
      "opcode 11": [webSocketFrame(11, "{}")],
      "long ping": [webSocketFrame("ping", "x".repeat(126))],
      "ping in fragments": [webSocketFrame("ping", "x", { fin: false })],
      "continuation of nothing": [webSocketFrame("continuation", "{}")],
      "a new message within one": [webSocketFrame("text", "{", { fin: false }), webSocketFrame("text", "}")],
      "close of one byte": [webSocketFrame("close", Uint8Array.of(3))],
      "close with a reserved code": [webSocketFrame("close", closePayload(1005))],
      "length beyond everything": [webSocketFrame("text", "", { length: 2 ** 53 })],
    };
    for (const [name, frames] of Object.entries(broken)) {
      const socket = await openWebSocket(port, "/ws");
      socket.send(...frames, webSocketFrame("text", '{"type":"publish","channel":"calm","data":"smuggled"}'));
      const last = await lastFrame(socket);
      expect([name, [undefined, 1002, 1009].includes(last?.code)]).toEqual([name, true]);
      await socket.ended;
    }
    await expectCalm();
    expect(bystander.messages("calm").map(({ data }) => data)).not.toContain("smuggled");
  });

  test("[SU-12] a client that vanishes in the middle of a frame leaves nothing behind", async () => {
    const socket = await openWebSocket(port, "/ws");
    socket.send(webSocketFrame("text", '{"type":"subscribe","channel":"gone","id":1}'));
    await socket.readFrame();
    await socket.readFrame();
    socket.send(webSocketFrame("text", command).subarray(0, 9));
    socket.destroy();
    for (;;) {
      const { body } = await server.api("GET", "/api/channels/gone");
      if ((body as { subscribers: number }).subscribers === 0) break;
      await Bun.sleep(5);
    }
    await expectCalm();
  });
});

describe("commands", () => {
  test("[FR-9] ten thousand commands in one turn are answered, each once and in order", async () => {
    const client = await connectClient(server.url);
    await client.request({ type: "subscribe", channel: "ten" });
    const before = client.frames.length;
    for (let id = 1; id <= 10_000; id++) {
      if (id % 4 === 0) client.send({ type: "publish", channel: "ten", data: id, id });
      else if (id % 4 === 1) client.send({ type: "subscribe", channel: "toggled", id });
      else if (id % 4 === 2) client.send({ type: "unsubscribe", channel: "toggled", id });
      else client.send({ type: "ping", id });
    }
    const replies = new Map<number, string>();
    await client.until(() => client.frames.filter((frame) => "id" in frame).length >= 10_000 + 2, 30_000);
    await client.received("ten", 2500);
    for (const frame of client.frames.slice(before)) {
      if (!("id" in frame) || frame.id === undefined) continue;
      expect(replies.has(frame.id)).toBe(false);
      replies.set(frame.id, frame.type);
    }
    const kinds = ["published", "subscribed", "unsubscribed", "pong"];
    for (let id = 1; id <= 10_000; id++) expect(replies.get(id)).toBe(kinds[id % 4] as string);
    expect(client.messages("ten").map(({ data }) => data)).toEqual(
      Array.from({ length: 2500 }, (_, at) => (at + 1) * 4),
    );
    client.terminate();
  });

  test("[FR-6] [FR-7] [FR-8] an id may be used again at once; without one silence or a reply without id", async () => {
    const client = await connectClient(server.url);
    client.send({ type: "subscribe", channel: "ids", id: 5 });
    client.send({ type: "publish", channel: "ids", data: 1, id: 5 });
    client.send({ type: "publish", channel: "ids", data: 2 });
    client.send({ type: "publish", channel: "@x", data: 2, key: 1 });
    client.send({ type: "unsubscribe", channel: "not-there", id: 5 });
    client.send({ type: "history", channel: "ids" });
    client.send({ type: "pong", id: 5 });
    client.send({ type: "ping", id: 9_007_199_254_740_991 });
    await client.next((frame) => frame.type === "pong");
    await client.received("ids", 2);
    const replies = client.frames.slice(1).filter(({ type }) => type !== "message");
    expect(replies.map((frame) => `${frame.type} ${"id" in frame ? frame.id : "-"}`).toSorted()).toEqual([
      "error -",
      "error 5",
      "history -",
      "pong 9007199254740991",
      "published 5",
      "subscribed 5",
    ]);
    client.terminate();
  });

  test("[SU-4] [SU-5] subscribed twice and unsubscribed from nothing are answered and change nothing", async () => {
    const client = await connectClient(server.url);
    await client.request({ type: "subscribe", channel: "twice" });
    expect(await client.ask({ type: "subscribe", channel: "twice" })).toMatchObject({ type: "error", code: 107 });
    await server.publish("twice", 1);
    expect(await client.received("twice", 1)).toHaveLength(1);
    expect(await client.ask({ type: "unsubscribe", channel: "thrice" })).toMatchObject({ type: "error", code: 108 });
    await client.request({ type: "unsubscribe", channel: "twice" });
    expect(await client.ask({ type: "unsubscribe", channel: "twice" })).toMatchObject({ type: "error", code: 108 });
    await server.publish("twice", 2);
    await client.request({ type: "ping" });
    expect(client.messages("twice")).toHaveLength(1);
    expect(await client.ask({ type: "connect" })).toMatchObject({ type: "error", code: 106 });
    client.terminate();
  });

  test("[RE-3] [RE-4] a position of another epoch or from the future is told, and the stream goes on", async () => {
    const { epoch, offset } = await server.publish("positions", 1);
    for (const since of [
      { epoch: "elsewhere", offset: 0 },
      { epoch, offset: offset + 1 },
      { epoch, offset: Number.MAX_SAFE_INTEGER },
    ]) {
      const client = await connectClient(server.url);
      expect(await client.request({ type: "subscribe", channel: "positions", since })).toMatchObject({
        epoch,
        offset,
        recovered: false,
      });
      client.terminate();
    }
  });

  test("[FR-15] lone surrogates, NUL and `__proto__` in data arrive as they were", async () => {
    const client = await connectClient(server.url);
    await client.request({ type: "subscribe", channel: "strange" });
    const values = [
      '"\\ud800 \\udc00"',
      '{"\\udfff":"\\u0000"}',
      '{"__proto__":{"admin":true},"constructor":1}',
      '"\\u2028</script>"',
      "[null,false,0,-0.5,1e300]",
      "null",
    ];
    for (const data of values) client.send(`{"type":"publish","channel":"strange","data":${data}}`);
    const messages = await client.received("strange", values.length);
    expect(messages.map(({ data }) => JSON.stringify(data))).toEqual(
      values.map((data) => JSON.stringify(JSON.parse(data))),
    );
    const { body } = await server.api("GET", "/api/channels/strange/history");
    const { publications } = body as { publications: { data: unknown }[] };
    expect(JSON.stringify(publications.map(({ data }) => data))).toBe(JSON.stringify(messages.map(({ data }) => data)));
    client.terminate();
  });

  test("[CH-4] [CH-9] lone surrogates are no names; `__proto__` is a channel, a user and a name like others", async () => {
    const token = await signToken({ sub: "__proto__" });
    const { epoch } = await server.publish("@__proto__", "one");
    await server.publish("@__proto__", "two");
    const client = await connectClient(server.url, { connect: false });
    client.send('{"type":"subscribe","channel":"\\ud800","id":101}');
    client.send('{"type":"publish","channel":"a\\udc00","data":1,"id":102}');
    await client.until(() => client.frames.length === 2);
    expect(client.frames.map((frame) => frame.type === "error" && frame.code)).toEqual([103, 103]);
    client.send(
      `{"type":"connect","token":"${token}","since":{"@__proto__":{"epoch":"${epoch}","offset":1},"__proto__":{"epoch":"e","offset":1}}}`,
    );
    expect((await client.received("@__proto__", 1)).map(({ data }) => data)).toEqual(["two"]);
    await client.request({ type: "subscribe", channel: "__proto__" });
    await client.request({ type: "publish", channel: "__proto__", data: 1, name: "__proto__", key: "__proto__" });
    expect(await client.received("__proto__", 1)).toMatchObject([{ offset: 1, name: "__proto__", user: "__proto__" }]);
    expect((await server.api("GET", "/api/users/__proto__")).body).toMatchObject({ user: "__proto__", online: true });
    client.terminate();
  });
});

/** The last frame before the end. */
async function lastFrame(socket: RawSocket): Promise<Awaited<ReturnType<RawSocket["readFrame"]>>> {
  let last: Awaited<ReturnType<RawSocket["readFrame"]>>;
  for (;;) {
    const frame = await socket.readFrame();
    if (frame === undefined) return last;
    last = frame;
  }
}

/** A publish of so many bytes. */
function publishOf(bytes: number): string {
  const empty = JSON.stringify({ type: "publish", id: 7, channel: "large", data: "" });
  return empty.replace('""', JSON.stringify("x".repeat(bytes - empty.length)));
}
