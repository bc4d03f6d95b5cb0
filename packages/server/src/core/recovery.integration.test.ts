/** Recovery as clients see it, on every engine: what was missed comes, complete and in order, or its loss is told. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { MessageFrame, Position, ServerFrame, SubscribedFrame } from "@longwire/protocol";
import { OPCODES, openWebSocket, webSocketFrame } from "../../test/support/raw-socket.ts";
import { type Flags, signToken, startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

const MISSED = 800;
const FILLER = "x".repeat(64 * 1024);

/** A budget of 256 KB, a history of 50 MB. */
const LARGE: Flags = {
  "queue-bytes-max": String(256 * 1024),
  "publication-bytes-max": String(128 * 1024),
  "channels-history-size": "100000",
  "channels-publish": "everybody",
};

function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

/** The number that `fill` gave a publication, which must be its offset. */
function numberOf({ data }: MessageFrame): number {
  return typeof data === "string" ? Number.parseInt(data, 10) : Number.NaN;
}

/** Publishes 50 MB, numbered. Returns the position before the first. */
async function fill(server: TestServer, channel: string): Promise<Position> {
  let epoch = "";
  for (let first = 1; first <= MISSED; first += 50) {
    const publications = upTo(first + 49, first).map((number) => ({ channel, data: `${number} ${FILLER}` }));
    const { body } = await server.api("POST", "/api/batch", { publications });
    const { results } = body as { results: { epoch: string; offset: number }[] };
    expect(results.map(({ offset }) => offset)).toEqual(upTo(first + 49, first));
    epoch = results[0]?.epoch ?? "";
  }
  return { epoch, offset: 0 };
}

function expectWhole(messages: readonly MessageFrame[], last: number): void {
  expect(messages.map(({ offset }) => offset)).toEqual(upTo(last));
  for (const message of messages.slice(0, MISSED)) {
    if (numberOf(message) !== message.offset) throw new Error(`offset ${message.offset} carries ${numberOf(message)}`);
  }
}

interface Asked {
  readonly client: TestClient;
  /** Offset and `recovered`. */
  readonly answer: readonly [number, boolean];
  readonly epoch: string;
}

async function subscribe(server: TestServer, channel: string, since: Position | "earliest"): Promise<Asked> {
  const client = await connectClient(server.url);
  const { offset, recovered, epoch } = await client.request({ type: "subscribe", channel, since });
  return { client, answer: [offset, recovered], epoch };
}

for (const engine of ["memory", "sqlite"] as const) {
  describe(`50 MB of missed history, ${engine}`, () => {
    let server: TestServer;
    let start: Position;
    beforeAll(async () => {
      server = await startServer({ ...LARGE, engine });
      start = await fill(server, "big");
    });
    afterAll(() => server.stop());

    test("[RE-9] [RE-10] [RE-12] a client cut again and again in the middle goes on from its last message", async () => {
      const got: MessageFrame[] = [];
      let cuts = 0;
      while (got.length < MISSED) {
        const client = await connectClient(server.url);
        const offset = got.at(-1)?.offset ?? 0;
        const since = { epoch: start.epoch, offset };
        expect(await client.request({ type: "subscribe", channel: "big", since })).toEqual(
          expect.objectContaining({ offset, epoch: start.epoch, recovered: true }),
        );
        await client.received("big", Math.min(150, MISSED - got.length));
        client.terminate();
        await client.closed;
        cuts++;
        got.push(...client.messages("big"));
      }
      expect(cuts).toBeGreaterThan(1);
      expectWhole(got, MISSED);
    });

    test("[RE-1] [RE-9] a client that reads slowly gets all of it and is not ended", async () => {
      const socket = await openWebSocket(Number(new URL(server.url).port), "/ws");
      socket.send(webSocketFrame("text", JSON.stringify({ type: "subscribe", channel: "big", since: start, id: 1 })));
      const messages: MessageFrame[] = [];
      let subscribed: SubscribedFrame | undefined;
      while (messages.length < MISSED) {
        const frame = await socket.readFrame();
        if (frame === undefined || frame.opcode === OPCODES.close) throw new Error(`ended: ${frame?.code}`);
        if (frame.opcode !== OPCODES.text) continue;
        const said = JSON.parse(frame.text) as ServerFrame;
        if (said.type === "subscribed") subscribed = said;
        if (said.type !== "message") continue;
        messages.push(said);
        if (messages.length % 100 !== 0) continue;
        socket.pause();
        await Bun.sleep(100);
        socket.resume();
      }
      expect(subscribed).toMatchObject({ offset: 0, recovered: true });
      expectWhole(messages, MISSED);
      socket.send(webSocketFrame("text", '{"type":"ping","id":2}'));
      expect((await socket.readFrame())?.text).toContain("pong");
      socket.destroy();
    });

    // The last of this server, since it adds to the channel.
    test("[RE-1] [RE-9] [RE-10] reaches a client that reads, while two publishers go on", async () => {
      const publishers = await Promise.all([connectClient(server.url), connectClient(server.url)]);
      const replay = new AbortController();
      let top = 0;
      const publishing = publishers.map(async (publisher) => {
        do {
          const data = `0 ${"y".repeat(500)}`;
          const { offset } = await publisher.request({ type: "publish", channel: "big", data });
          top = Math.max(top, offset);
        } while (!replay.signal.aborted);
      });
      const live = await connectClient(server.url);
      await live.request({ type: "subscribe", channel: "big" });
      const reader = await connectClient(server.url);
      const subscribed = await reader.request({ type: "subscribe", channel: "big", since: start });
      expect(subscribed).toMatchObject({ offset: 0, recovered: true });
      await reader.received("big", MISSED + 20, 30_000);
      replay.abort();
      await Promise.all(publishing);
      expect(top).toBeGreaterThan(MISSED + 2);
      expectWhole(await reader.received("big", top, 30_000), top);
      expect(reader.isOpen).toBe(true);
      // Somebody's replay delays nobody.
      const first = live.messages("big")[0]?.offset ?? 0;
      const offsets = (await live.received("big", top - first + 1)).map(({ offset }) => offset);
      expect(offsets).toEqual(upTo(top, first));
      for (const client of [...publishers, live, reader]) client.terminate();
    });
  });

  describe(`positions that cannot be reached, ${engine}`, () => {
    test("[RE-6] more than recoveryMax publications are not replayed", async () => {
      const server = await startServer({ engine, "recovery-max": "10" });
      let epoch = "";
      for (let offset = 1; offset <= 30; offset++) ({ epoch } = await server.publish("far", offset));
      const near = await subscribe(server, "far", { epoch, offset: 20 });
      expect(near.answer).toEqual([20, true]);
      expect((await near.client.received("far", 10)).map(({ offset }) => offset)).toEqual(upTo(30, 21));
      const far = await subscribe(server, "far", { epoch, offset: 19 });
      expect([far.answer, far.epoch]).toEqual([[30, false], epoch]);
      const earliest = await subscribe(server, "far", "earliest");
      expect(earliest.answer).toEqual([20, false]);
      expect((await earliest.client.received("far", 10)).map(({ offset }) => offset)).toEqual(upTo(30, 21));
      await server.publish("far", 31);
      for (const { client } of [near, far, earliest]) {
        await client.next((frame) => frame.type === "message" && frame.offset === 31);
        client.terminate();
      }
      expect(far.client.messages("far").map(({ offset }) => offset)).toEqual([31]);
      await server.stop();
    });

    test("[RE-5] [RE-7] [RE-8] a position whose successor is trimmed is told, the top is always reached", async () => {
      const server = await startServer({ engine, "channels-history-size": "5" });
      let epoch = "";
      for (let offset = 1; offset <= 10; offset++) ({ epoch } = await server.publish("short", offset));
      for (const [offset, answer] of [
        [0, [10, false]],
        [4, [10, false]],
        [5, [5, true]],
        [10, [10, true]],
      ] as const) {
        const asked = await subscribe(server, "short", { epoch, offset });
        expect([offset, ...asked.answer]).toEqual([offset, ...answer]);
        asked.client.terminate();
      }
      const earliest = await subscribe(server, "short", "earliest");
      expect(earliest.answer).toEqual([5, true]);
      earliest.client.terminate();
      await server.stop();
    });

    test("[RE-5] what is trimmed while a client is still being sent it is told too, and the stream goes on", async () => {
      const server = await startServer({ ...LARGE, engine, "channels-history-size": String(MISSED) });
      const since = await fill(server, "running");
      const socket = await openWebSocket(Number(new URL(server.url).port), "/ws");
      socket.send(webSocketFrame("text", JSON.stringify({ type: "subscribe", channel: "running", since, id: 1 })));
      socket.pause();
      await Bun.sleep(100);
      for (let count = 0; count < MISSED; count += 50) {
        const publications = upTo(50).map((data) => ({ channel: "running", data }));
        await server.api("POST", "/api/batch", { publications });
      }
      socket.resume();
      const breaks: SubscribedFrame[] = [];
      let last = 0;
      let end = Infinity;
      while (last < end) {
        const said = JSON.parse((await socket.readFrame())?.text ?? "{}") as ServerFrame;
        if (said.type === "subscribed") {
          breaks.push(said);
          last = said.offset;
          if (breaks.length === 2) end = (await server.publish("running", "live")).offset;
        }
        if (said.type !== "message") continue;
        expect(said.offset).toBe(last + 1);
        last++;
      }
      expect(breaks).toMatchObject([
        { id: 1, offset: 0, recovered: true },
        { offset: 2 * MISSED, recovered: false },
      ]);
      expect(last).toBe(2 * MISSED + 1);
      socket.destroy();
      await server.stop();
    });

    test("[RE-7] a channel that keeps nothing recovers from its top, and from there alone", async () => {
      const server = await startServer({ engine, "channels-history-size": "0" });
      const { epoch, offset } = await server.publish("none", 1);
      const top = await subscribe(server, "none", { epoch, offset });
      expect(top.answer).toEqual([1, true]);
      const before = await subscribe(server, "none", { epoch, offset: 0 });
      expect(before.answer).toEqual([1, false]);
      await server.publish("none", 2);
      for (const { client } of [top, before]) {
        expect((await client.received("none", 1)).map((message) => message.offset)).toEqual([2]);
        client.terminate();
      }
      await server.stop();
    });
  });
}

describe("a restart", () => {
  test("[EN-12] [IN-8] [P2] with sqlite positions, keys and inboxes go on", async () => {
    const server = await startServer({ engine: "sqlite" });
    const token = await signToken({ sub: "bob" });
    const bob = await connectClient(server.url, { token });
    await bob.request({ type: "subscribe", channel: "news" });
    const first = await server.publish("news", 1, { key: "once" });
    await server.publish("@bob", "read");
    await server.publish("@bob", "unread");
    await bob.received("news", 1);
    await bob.received("@bob", 2);
    await bob.request({ type: "ack", channel: "@bob", offset: 1 });
    await server.restart();
    expect((await bob.closed).code).toBe(4200);
    expect(await server.publish("news", 1, { key: "once" })).toMatchObject({ epoch: first.epoch, offset: 1 });
    expect(await server.publish("news", 2)).toMatchObject({ epoch: first.epoch, offset: 2 });
    const again = await connectClient(server.url, { token });
    expect((await again.received("@bob", 1)).map(({ data }) => data)).toEqual(["unread"]);
    const since = { epoch: first.epoch, offset: 1 };
    expect(await again.request({ type: "subscribe", channel: "news", since })).toMatchObject({ recovered: true });
    expect((await again.received("news", 1)).map(({ offset, data }) => [offset, data])).toEqual([[2, 2]]);
    again.terminate();
    await server.stop();
  });

  test("[RE-3] [EN-11] with memory every channel has a new epoch, and old positions are told to be gone", async () => {
    const server = await startServer({ engine: "memory" });
    const old = await server.publish("news", 1);
    await server.restart();
    const fresh = await server.publish("news", "other data under the same offset");
    expect(fresh.offset).toBe(1);
    expect(fresh.epoch).not.toBe(old.epoch);
    const client = await connectClient(server.url);
    const since = { epoch: old.epoch, offset: 0 };
    expect(await client.request({ type: "subscribe", channel: "news", since })).toMatchObject({
      epoch: fresh.epoch,
      offset: 1,
      recovered: false,
    });
    await server.publish("news", 2);
    expect((await client.received("news", 1)).map(({ offset }) => offset)).toEqual([2]);
    client.terminate();
    await server.stop();
  });
});
