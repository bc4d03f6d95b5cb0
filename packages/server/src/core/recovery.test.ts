/** The seam between replay and live stream, with a store that is slow in answering or in handing on. */
import { expect, test } from "bun:test";
import type { MessageFrame, ServerFrame } from "@longwire/protocol";
import { brokerWith, buildCore, type CoreHouse, type CoreSession, OPEN, settle } from "../../test/support/core.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { openMemoryEngine } from "../engines/memory/engine.ts";
import type { Broker, HistoryPage, Publication } from "../ports/broker.ts";

interface Holds {
  /** Pages are read at once, but answered only after `release`. */
  pages: boolean;
  /** Publications are kept at once, but handed on only after `handOn`. */
  live: boolean;
}

interface SlowHouse extends CoreHouse {
  readonly holds: Holds;
  readonly reads: () => number;
  release(): Promise<void>;
  handOn(count?: number): Promise<void>;
  /** Publishes so many, numbered from where it stopped, without waiting for them to be handed on. */
  add(count: number): Promise<void>;
  subscribe(since: number, stalled?: boolean): Promise<CoreSession>;
}

function build(options: Parameters<typeof buildCore>[0] = {}, dataOf = (number: number) => String(number)): SlowHouse {
  const holds: Holds = { pages: false, live: false };
  const waiting: (() => void)[] = [];
  const kept: (() => void)[] = [];
  let reads = 0;
  let broker: Broker | undefined;
  const house = buildCore({
    ...options,
    broker(sink) {
      const inner = openMemoryEngine(
        { retentionOf: () => ({ size: 10_000, ttlMs: OPEN.historyMs }), idempotencyMs: 1000, positionTtlMs: 100_000 },
        {
          event: (...told) => sink.event(...told),
          top: (...told) => sink.top(...told),
          fenced: () => sink.fenced(),
          publication(channel: string, epoch: string, publication: Publication) {
            const hand = (): void => sink.publication(channel, epoch, publication);
            if (holds.live) kept.push(hand);
            else hand();
          },
        },
        new FakeClock(),
      ).broker;
      broker = brokerWith(inner, {
        async history(channel, query): Promise<HistoryPage> {
          reads++;
          const page = await inner.history(channel, query);
          if (holds.pages) await new Promise<void>((resolve) => waiting.push(resolve));
          return page;
        },
      });
      return broker;
    },
  });
  let published = 0;
  let epoch = "";
  return {
    ...house,
    holds,
    reads: () => reads,
    async release() {
      for (const resolve of waiting.splice(0)) resolve();
      await settle();
    },
    async handOn(count = kept.length) {
      for (const hand of kept.splice(0, count)) hand();
      await settle();
    },
    async add(count) {
      for (let added = 0; added < count; added++) {
        const answer = await broker?.publish("a", { data: dataOf(++published), keep: true });
        epoch = answer?.epoch ?? "";
      }
    },
    async subscribe(since, stalled = false) {
      const session = await house.open();
      session.connection.stalled = stalled;
      await session.say({ type: "subscribe", channel: "a", since: { epoch, offset: since } });
      return session;
    },
  };
}

function messagesOf({ connection }: CoreSession): (readonly [number | undefined, unknown])[] {
  return connection
    .frames()
    .filter((frame: ServerFrame): frame is MessageFrame => frame.type === "message")
    .map(({ offset, data }) => [offset, data]);
}

function upTo(last: number, first = 1): (readonly [number, number])[] {
  return Array.from({ length: last - first + 1 }, (_, at) => [first + at, first + at]);
}

test("[RE-1] [RE-10] what is published while a page is on its way follows it, each once, whichever way it came", async () => {
  const house = build();
  await house.add(5);
  house.holds.pages = true;
  const bob = await house.subscribe(0);
  await house.add(3);
  expect(messagesOf(bob)).toEqual([]);
  house.holds.pages = false;
  await house.release();
  await house.add(2);
  await settle();
  expect(messagesOf(bob)).toEqual(upTo(10));
  // One page: the rest came from what the channel remembers while somebody catches up.
  expect(house.reads()).toBe(1);
});

test("[RE-1] more than the channel remembers meanwhile is read from the history", async () => {
  const house = build();
  await house.add(5);
  house.holds.pages = true;
  const bob = await house.subscribe(0);
  await house.add(1000);
  house.holds.pages = false;
  await house.release();
  await house.add(1);
  await settle();
  expect(messagesOf(bob)).toEqual(upTo(1006));
});

test("[RE-1] [EN-15] a page that is ahead of what was handed on gives nothing twice, nothing early", async () => {
  const house = build();
  await house.add(5);
  const live = await house.subscribe(5);
  house.holds.live = true;
  await house.add(5);
  // Kept, but nobody has them yet: the history shows 10, the live stream stands at 5.
  const bob = await house.subscribe(2);
  await house.handOn(2);
  await house.handOn();
  house.holds.live = false;
  await house.add(1);
  await settle();
  expect(messagesOf(bob)).toEqual(upTo(11, 3));
  expect(messagesOf(live)).toEqual(upTo(11, 6));
});

for (const [what, filler] of [
  ["frames much longer than their data", ""],
  ["text of three bytes a character", "好".repeat(100)],
  ["publications that fill half the queue each", "x".repeat(1000)],
] as const) {
  // Pages used to be sent as they were read: their data within the budget, their frames beyond it, and the reader ended as slow.
  test(`[RE-9] a replay waits for its reader, and publications go on meanwhile: ${what}`, async () => {
    const settings = { queueBytesMax: 2000, publicationBytesMax: 1100 };
    const house = build({ settings }, (number) => `"${number}${filler}"`);
    await house.add(400);
    const bob = await house.subscribe(0, true);
    const before = messagesOf(bob).length;
    expect(before).toBeLessThan(100);
    await house.add(50);
    await settle();
    expect(messagesOf(bob)).toHaveLength(before);
    for (let round = 0; round < 600; round++) {
      bob.connection.take();
      house.gateway.drained(bob.handle);
      await settle();
      if (messagesOf(bob).length >= 450) break;
    }
    bob.connection.take();
    house.gateway.drained(bob.handle);
    await settle();
    await house.add(1);
    await settle();
    expect(bob.connection.goodbye).toBeUndefined();
    expect(messagesOf(bob).map(([offset]) => offset)).toEqual(upTo(451).map(([offset]) => offset));
    expect(house.errors).toEqual([]);
  });
}

test("[SU-6] [SU-11] an unsubscribe in the middle of a replay ends it, and a new subscription begins its own", async () => {
  const house = build({ settings: { queueBytesMax: 2000, publicationBytesMax: 1100 } });
  await house.add(100);
  const bob = await house.subscribe(0, true);
  await bob.say({ type: "unsubscribe", channel: "a" });
  await bob.say({ type: "subscribe", channel: "a", since: "latest" });
  bob.connection.take();
  house.gateway.drained(bob.handle);
  await settle();
  await house.add(1);
  await settle();
  const frames = bob.connection.frames();
  const gone = frames.findIndex(({ type }) => type === "unsubscribed");
  expect(frames.slice(gone + 1)).toMatchObject([
    { type: "subscribed", offset: 100 },
    { type: "message", offset: 101 },
  ]);
  expect(house.errors).toEqual([]);
});

test("[SU-12] a connection lost while a page is on its way costs nothing more", async () => {
  const house = build();
  await house.add(5);
  house.holds.pages = true;
  const bob = await house.subscribe(0);
  await bob.drop();
  house.holds.pages = false;
  await house.release();
  expect(messagesOf(bob)).toEqual([]);
  expect((await house.control.stats()).subscriptions).toBe(0);
  expect(house.errors).toEqual([]);
});
