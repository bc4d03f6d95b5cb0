/** What only streams have: an answer that begins when all is ready, cursors apart from events, a queue that the runtime keeps. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { decodeCursor } from "@longwire/protocol";
import { openSocket, type RawSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import type { Peer } from "../../test/support/peer/peer.ts";
import {
  SSE,
  SSE_BY_QUERY,
  SSE_GZIPPED,
  STREAM,
  STREAM_BY_QUERY,
  STREAM_GZIPPED,
  type Target,
  type Transport,
} from "../../test/support/peer/transports.ts";

const QUEUE_BYTES_MAX = 256 * 1024;
const SMALL_QUEUES = {
  "queue-bytes-max": String(QUEUE_BYTES_MAX),
  "publication-bytes-max": String(QUEUE_BYTES_MAX),
  "message-bytes-max": String(QUEUE_BYTES_MAX),
};
const STREAMS: readonly Transport[] = [SSE, SSE_GZIPPED, STREAM, STREAM_GZIPPED];

let server: TestServer;
const peers: Peer[] = [];

afterEach(async () => {
  for (const peer of peers.splice(0)) peer.drop();
  await server.stop();
});

const target = (): Target => ({ url: server.url, tcpPort: server.tcpPorts[0] ?? 0 });

async function open(transport: Transport, wishes: Parameters<Transport["open"]>[1]): Promise<Peer> {
  const peer = await transport.open(target(), wishes);
  peers.push(peer);
  return peer;
}

interface Stats {
  readonly sessions: number;
  readonly channels: number;
  readonly subscriptions: number;
}

async function stats(): Promise<Stats> {
  const { sessions, channels, subscriptions } = (await server.api("GET", "/api/stats")).body as Stats;
  return { sessions, channels, subscriptions };
}

/** Sockets of both sides, files and all. */
const descriptors = (): number => readdirSync("/proc/self/fd").length;

/** Waits until the server has forgotten everybody. */
async function untilEmpty(): Promise<void> {
  for (let round = 0; round < 500; round++) {
    const { sessions, channels, subscriptions } = await stats();
    if (sessions + channels + subscriptions === 0) return;
    await Bun.sleep(10);
  }
  expect(await stats()).toEqual({ sessions: 0, channels: 0, subscriptions: 0 });
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);

describe("replays larger than what a client may have waiting", () => {
  for (const transport of STREAMS) {
    // What is queued before the answer begins is nobody's write: a replay that waits for it has to be woken by the first reading.
    test(`[RE-9] ${transport.name}: one publication that fills half the budget, and what is behind it`, async () => {
      server = await startServer(SMALL_QUEUES);
      for (let n = 0; n < 12; n++) await server.publish("a", "x".repeat(200_000));
      const peer = await open(transport, { subscribe: [{ channel: "a", since: "earliest" }] });
      expect(await peer.offsets("a", 12)).toEqual(upTo(12));
    });

    test(`[RE-9] ${transport.name}: many channels, each with a page of its own`, async () => {
      server = await startServer(SMALL_QUEUES);
      const channels = upTo(10).map((n) => `c${n}`);
      for (const channel of channels) for (let n = 0; n < 10; n++) await server.publish(channel, "x".repeat(15_000));
      const peer = await open(transport, { subscribe: channels.map((channel) => ({ channel, since: "earliest" })) });
      for (const channel of channels) expect(await peer.offsets(channel, 10)).toEqual(upTo(10));
    });
  }
});

/** A request whose client is gone at this moment of it. */
async function abort(path: string, afterMs: number, method = "GET", body = ""): Promise<void> {
  const socket: RawSocket = await openSocket(Number(new URL(server.url).port));
  const length = method === "POST" ? `Content-Length: ${Buffer.byteLength(body)}\r\n` : "";
  socket.send(`${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${length}\r\n${body}`);
  if (afterMs > 0) await Bun.sleep(afterMs);
  socket.destroy();
}

describe("an answer", () => {
  for (const transport of [SSE_BY_QUERY, STREAM_BY_QUERY]) {
    // The runtime sends the head of an answer with the first bytes of its body.
    test(`[OW-2] [OW-6] ${transport.name}: begins also where there is nothing to say`, async () => {
      server = await startServer();
      const peer = await open(transport, { subscribe: [{ channel: "a" }] });
      await server.publish("a", 1);
      await peer.offsets("a", 1);
      const again = await open(transport, peer.luggage([{ channel: "a" }]));
      expect(again.head?.status).toBe(200);
      expect(again.frames).toEqual([]);
    });
  }
});

test("[HS-1] [P6] what one turn publishes comes in one chunk, one frame per line", async () => {
  server = await startServer();
  const socket = await openSocket(Number(new URL(server.url).port));
  socket.send("GET /stream?channels=a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  await socket.readUntil('"subscribed"');
  await socket.readUntil("\n\r\n");
  const publications = upTo(50).map((data) => ({ channel: "a", data }));
  await server.api("POST", "/api/batch", { publications });
  const chunks: string[] = [];
  while (!chunks.join("").includes('"offset":50,')) chunks.push(await socket.readUntil("\n\r\n"));
  socket.destroy();
  // A size, and lines: all of a turn, and a request of 50 publications is a turn or two.
  expect(chunks.length).toBeLessThan(5);
  const lines = chunks.flatMap((chunk) => chunk.trim().split("\n").slice(1));
  expect(lines.map((line) => (JSON.parse(line) as { offset: number }).offset)).toEqual(upTo(50));
});

describe("a client that goes away", () => {
  test("[OW-8] at any moment leaves nothing behind", async () => {
    server = await startServer({ engine: "sqlite" });
    const token = await server.token({ sub: "bob" });
    for (let n = 0; n < 50; n++) await server.publish("kept", "x".repeat(1000));
    const before = descriptors();
    const line = JSON.stringify({ type: "subscribe", channel: "kept", since: "earliest", presence: true });
    for (let round = 0; round < 30; round++) {
      const afterMs = round % 6;
      await Promise.all([
        abort(`/sse?channels=kept,other&since=earliest&token=${token}`, afterMs),
        abort(`/sse/kept`, afterMs),
        abort(`/stream?channels=kept&since=earliest`, afterMs),
        abort("/stream", afterMs, "POST", line),
        abort("/poll?channels=kept", afterMs),
        abort("/poll", afterMs, "POST", line),
        abort("/send", afterMs, "POST", JSON.stringify({ type: "history", channel: "kept", id: 1 })),
      ]);
    }
    await untilEmpty();
    expect(descriptors()).toBeLessThanOrEqual(before + 1);
  });

  test("[OW-8] before its answer begins leaves nothing behind either", async () => {
    server = await startServer({ engine: "sqlite" });
    const channels = upTo(150).map((n) => `c${n}`);
    await server.api("POST", "/api/publish", { channels, data: "x".repeat(500) });
    const before = descriptors();
    for (let round = 0; round < 60; round++) {
      for (const path of ["/stream", "/sse", "/poll"]) {
        const list = path === "/stream" ? channels : channels.slice(0, 60);
        await abort(`${path}?channels=${list.join(",")}&since=earliest`, (round % 20) / 5);
      }
    }
    await untilEmpty();
    expect(descriptors()).toBeLessThanOrEqual(before + 1);
  });
});

describe("cursors", () => {
  test("[OW-6] [ES-3] whoever asks for quiet is told where it stands all the same: a cut before the first publication loses nothing", async () => {
    server = await startServer();
    await server.publish("a", 1);
    const socket = await openSocket(Number(new URL(server.url).port));
    socket.send("GET /sse/a?quiet=true HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    const [, cursor = ""] =
      /id: (\S+)\n\n$/.exec(await socket.readUntil("\n\n").then(() => socket.readUntil("\n\n"))) ?? [];
    socket.destroy();
    expect(decodeCursor(cursor)?.get("a")?.offset).toBe(1);
  });

  test("[ES-4] with several channels the cursor behind a turn names them all, at what was sent", async () => {
    server = await startServer();
    const peer = await open(SSE_BY_QUERY, { subscribe: [{ channel: "a" }, { channel: "b" }] });
    expect([...(decodeCursor(peer.cursor ?? "") ?? [])].map(([name, { offset }]) => [name, offset])).toEqual([
      ["a", 0],
      ["b", 0],
    ]);
    await server.publish("a", 1);
    await server.publish("a", 2);
    await server.publish("b", 1);
    await peer.offsets("b", 1);
    await peer.until("the cursor", () => decodeCursor(peer.cursor ?? "")?.get("b")?.offset === 1);
    expect(decodeCursor(peer.cursor ?? "")?.get("a")?.offset).toBe(2);
  });

  test("[ES-3] [ES-4] a second channel given in the middle of the stream: no cursor leaves the first one out, before or after", async () => {
    server = await startServer();
    const peer = await open(SSE_BY_QUERY, { subscribe: [{ channel: "a" }] });
    const { session = "" } = peer;
    await server.publish("a", 1);
    await peer.offsets("a", 1);
    const cursors: string[] = [];
    const seen = (): void => {
      if (peer.cursor !== undefined && cursors.at(-1) !== peer.cursor) cursors.push(peer.cursor);
    };
    const publishing = (async () => {
      for (let n = 2; n <= 60; n++) {
        await server.publish("a", n);
        seen();
      }
    })();
    await server.api("POST", `/api/sessions/${session}/subscribe`, { channel: "b" });
    await server.publish("b", 1);
    await publishing;
    expect(await peer.offsets("a", 60)).toEqual(upTo(60));
    expect(await peer.offsets("b", 1)).toEqual([1]);
    await peer.until("the last cursor", () => {
      seen();
      const cursor = decodeCursor(peer.cursor ?? "");
      return cursor?.get("a")?.offset === 60 && cursor.get("b")?.offset === 1;
    });
    let last = 0;
    let named = 1;
    for (const cursor of cursors) {
      const positions = decodeCursor(cursor);
      const at = positions?.get("a")?.offset ?? -1;
      expect(at).toBeGreaterThanOrEqual(last);
      expect(positions?.size).toBeGreaterThanOrEqual(named);
      last = at;
      named = positions?.size ?? 0;
    }
  });

  test("[ES-9] more channels given by the server than a cursor holds end the stream, in words", async () => {
    server = await startServer();
    const peer = await open(SSE_BY_QUERY, { subscribe: [{ channel: "a" }] });
    const { session = "" } = peer;
    for (let n = 0; n < 40 && !peer.isEnded; n++) {
      await server.api("POST", `/api/sessions/${session}/subscribe`, { channel: `${n}:${"long".repeat(40)}` });
    }
    await peer.untilEnded();
    expect(peer.goodbye).toMatchObject({ code: 4104, reconnect: false });
    expect(peer.goodbye?.reason).toContain("cursor");
  });
});
