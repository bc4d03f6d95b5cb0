/** Compression on WebSockets: publications deflated once for all who ask, and permessage-deflate for what goes to one. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import type { MessageFrame, ServerFrame } from "@longwire/protocol";
import { type BareClient, connectBare } from "../../test/support/bare-client.ts";
import { OPCODES, openSocket, type RawSocket, upgradeRequest, webSocketFrame } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const FLAGS = { "channels-publish": "everybody", "message-bytes-max": "65536" };

const plain = await startServer(FLAGS);
const without = await startServer({ ...FLAGS, compression: "false" });
const extended = await startServer({ ...FLAGS, "per-message-deflate": "true" });

const opened: { terminate(): void }[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.terminate();
});
afterAll(async () => {
  for (const server of [plain, without, extended]) await server.stop();
});

const LONG = "a publication of some length ".repeat(100);

async function ask(server: TestServer, query: string): Promise<BareClient> {
  const client = await connectBare(`${server.url}/ws?${query}`);
  opened.push(client);
  return client;
}

/** What came, in order: `text` or `deflated`, and the frame. */
async function framesOf(client: BareClient, count: number): Promise<[string, ServerFrame][]> {
  return (await client.received(count)).map((message) =>
    typeof message === "string"
      ? ["text", JSON.parse(message) as ServerFrame]
      : ["deflated", JSON.parse(inflateRawSync(message).toString()) as ServerFrame],
  );
}

describe("?compress=deflate", () => {
  test("[CM-4] publications of 1 KB and more come deflated, all else and everybody else gets text", async () => {
    const asking = await ask(plain, "compress=deflate&channels=a");
    const other = await connectClient(plain.url, { query: { channels: "a" } });
    opened.push(other);
    await asking.received(2);
    await plain.publish("a", "short");
    await plain.publish("a", LONG, { name: "n" });
    const frames = await framesOf(asking, 4);
    expect(frames.map(([kind, { type }]) => [kind, type])).toEqual([
      ["text", "connected"],
      ["text", "subscribed"],
      ["text", "message"],
      ["deflated", "message"],
    ]);
    const [, long] = await other.received("a", 2);
    expect(frames[3]?.[1]).toEqual(long as MessageFrame);
    expect(other.texts.every((text) => text.startsWith("{"))).toBe(true);
  });

  test("[CM-4] in a replay too, and to those that are reached one by one; replies stay text", async () => {
    for (let n = 0; n < 3; n++) await plain.publish("b", `${n}${LONG}`);
    const asking = await ask(plain, "compress=deflate");
    asking.send('{"type":"subscribe","channel":"b","since":"earliest","echo":false}');
    asking.send('{"type":"history","channel":"b","id":1}');
    const before = await framesOf(asking, 6);
    expect(before.filter(([kind]) => kind === "deflated").map(([, frame]) => (frame as MessageFrame).offset)).toEqual([
      1, 2, 3,
    ]);
    expect(before.find(([, { type }]) => type === "history")?.[0]).toBe("text");
    await plain.publish("b", `4${LONG}`);
    expect((await framesOf(asking, 7))[6]).toMatchObject(["deflated", { offset: 4 }]);
  });

  test("[CM-4] many publications of one turn come in order, deflated and not", async () => {
    const asking = await ask(plain, "compress=deflate&channels=order");
    await asking.received(2);
    const publications = Array.from({ length: 60 }, (_, n) => ({ channel: "order", data: n % 3 === 0 ? LONG : n }));
    await plain.api("POST", "/api/batch", { publications });
    const frames = (await framesOf(asking, 62)).slice(2);
    expect(frames.map(([, frame]) => (frame as MessageFrame).offset)).toEqual(publications.map((_, n) => n + 1));
  });

  test("[CM-4] the word is passed over where compression is off, with frames=data, and where it is another", async () => {
    for (const [server, query] of [
      [without, "compress=deflate"],
      [plain, "compress=deflate&frames=data"],
      [plain, "compress=gzip"],
    ] as const) {
      const client = await ask(server, `${query}&channels=c`);
      const watcher = await connectClient(server.url, { query: { channels: "c" } });
      opened.push(watcher);
      await until(async () => {
        const { body } = await server.api("GET", "/api/channels/c");
        return (body as { subscribers: number }).subscribers >= 2;
      });
      await server.publish("c", LONG);
      await watcher.received("c", 1);
      const isData = query.includes("frames");
      const messages = await client.received(isData ? 1 : 3);
      expect(messages.every((message) => typeof message === "string")).toBe(true);
    }
  });
});

/** A message of permessage-deflate has no final block, and its end is left out (RFC 7692 section 7.2.1). */
function inflated(payload: Uint8Array): string {
  const whole = Buffer.concat([payload, Buffer.from([0, 0, 255, 255])]);
  return inflateRawSync(whole, { finishFlush: constants.Z_SYNC_FLUSH }).toString();
}

/** The next frame: how it came, and its text. */
async function read(socket: RawSocket): Promise<["text" | "deflated", ServerFrame]> {
  const frame = await socket.readFrame();
  if (frame?.opcode !== OPCODES.text) throw new Error(`a text was expected, not ${JSON.stringify(frame)}`);
  if (frame.text.startsWith("{")) return ["text", JSON.parse(frame.text) as ServerFrame];
  return ["deflated", JSON.parse(inflated(frame.payload)) as ServerFrame];
}

/** Long publications whose data begin with their numbers. */
async function publishNumbered(channel: string, from: number, count: number): Promise<void> {
  const publications = Array.from({ length: count }, (_, n) => ({ channel, data: `${from + n}${LONG}` }));
  expect((await extended.api("POST", "/api/batch", { publications })).status).toBe(200);
}

describe("permessage-deflate", () => {
  const OFFER = { "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits" };
  /** First reserved bit: the message is deflated (RFC 7692 section 6). */
  const DEFLATED = { reserved: 4 };

  interface Opened {
    readonly socket: RawSocket;
    readonly extensions: string | undefined;
  }

  async function open(
    server: TestServer,
    path = "/ws",
    headers: Readonly<Record<string, string>> = OFFER,
  ): Promise<Opened> {
    const port = Number(new URL(server.url).port);
    const socket = await openSocket(port);
    opened.push({ terminate: () => socket.destroy() });
    socket.send(upgradeRequest(port, path, headers));
    const { status, headers: answer } = await socket.readResponse();
    expect(status).toBe(101);
    return { socket, extensions: answer.get("sec-websocket-extensions") };
  }

  test("[CM-5] is not negotiated unless it is on, nor with a client that does not offer it", async () => {
    expect((await open(plain)).extensions).toBeUndefined();
    expect((await open(extended, "/ws", {})).extensions).toBeUndefined();
    expect((await open(extended)).extensions).toContain("permessage-deflate");
  });

  test("[CM-5] what a client sends may be deflated; long answers to it come so, short ones and publications do not", async () => {
    const { socket } = await open(extended, "/ws?channels=d");
    expect((await read(socket))[1].type).toBe("connected");
    expect((await read(socket))[1].type).toBe("subscribed");
    const command = JSON.stringify({ type: "publish", channel: "d", data: LONG, id: 1 });
    socket.send(webSocketFrame("text", deflateRawSync(Buffer.from(command)), DEFLATED));
    const both = [await read(socket), await read(socket)].map(([kind, { type }]) => `${kind} ${type}`);
    expect(new Set(both)).toEqual(new Set(["text message", "text published"]));
    socket.send(webSocketFrame("text", '{"type":"history","channel":"d","id":2}'));
    expect(await read(socket)).toMatchObject(["deflated", { type: "history", publications: [{ data: LONG }] }]);
    socket.send(webSocketFrame("text", '{"type":"ping","id":3}'));
    expect(await read(socket)).toMatchObject(["text", { type: "pong" }]);
  });

  test("[CM-5] [RE-1] a replay, deflated one by one, and the live stream by topic keep their order", async () => {
    await publishNumbered("g", 1, 50);
    // The runtime's own client offers the extension.
    const clients = [];
    for (let round = 0; round < 5; round++) {
      const live = publishNumbered("g", 51 + round * 10, 10);
      const client = await connectClient(extended.url, { query: { channels: "g", since: "earliest" } });
      opened.push(client);
      clients.push(client);
      await live;
    }
    const all = Array.from({ length: 100 }, (_, at) => at + 1);
    for (const client of clients) {
      const messages = await client.received("g", 100);
      expect(messages.map(({ offset }) => offset)).toEqual(all);
      expect(messages.map(({ data }) => Number.parseInt(data as string, 10))).toEqual(all);
    }
  });

  test("[CM-5] a client that did not agree gets everything plain", async () => {
    await extended.publish("e", LONG);
    const { socket } = await open(extended, "/ws?channels=e&since=earliest", {});
    expect([await read(socket), await read(socket), await read(socket)].map(([kind]) => kind)).toEqual([
      "text",
      "text",
      "text",
    ]);
  });

  test("[CM-5] a small message that inflates beyond the limit ends its connection, and nobody else's", async () => {
    const { socket: neighbour } = await open(extended, "/ws?channels=f");
    await read(neighbour);
    await read(neighbour);
    for (const inflatedBytes of [65_537, 50_000_000]) {
      const { socket } = await open(extended, "/raw/f");
      const bomb = deflateRawSync(Buffer.alloc(inflatedBytes, "x"));
      expect(bomb.length).toBeLessThan(65_536);
      socket.send(webSocketFrame("text", bomb, DEFLATED));
      const last = await socket.readFrame();
      // A close frame that says so, or a cut.
      if (last !== undefined) expect([1009, 4207]).toContain(last.code ?? 0);
      await socket.ended;
      await extended.publish("f", inflatedBytes);
      expect((await read(neighbour))[1]).toMatchObject({ type: "message", data: inflatedBytes });
    }
    expect((await extended.api("GET", "/api/channels/f")).body).toMatchObject({ offset: 2 });
  });

  test("[CM-5] what is no deflated text, or deflated where nobody agreed to it, ends its connection alone", async () => {
    const { socket: neighbour } = await open(extended, "/ws");
    const { socket: broken } = await open(extended);
    broken.send(webSocketFrame("text", Buffer.from([255, 255, 255, 255, 1, 2, 3]), DEFLATED));
    const { socket: presumptuous } = await open(extended, "/ws", {});
    presumptuous.send(webSocketFrame("text", deflateRawSync(Buffer.from('{"type":"ping"}')), DEFLATED));
    for (const socket of [broken, presumptuous]) await socket.ended;
    neighbour.send(webSocketFrame("text", '{"type":"ping","id":1}'));
    expect((await read(neighbour))[1].type).toBe("connected");
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (await condition()) return;
    await Bun.sleep(5);
  }
  throw new Error("waited in vain");
}
