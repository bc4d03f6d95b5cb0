import { expect, spyOn, test } from "bun:test";
import { decodeCursor, type Position } from "@longwire/protocol";
import { buildCore, settle } from "../../test/support/core.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import type { Broker, HistoryPage, HistoryQuery, Publication, Sink } from "../ports/broker.ts";
import type { SessionHandle } from "../ports/gateway.ts";
import { nativeProtocol } from "../protocols/native.ts";

/** A broker on another machine, as the hub sees it: its history is right, but what it hands to the sink is the test's affair. */
class ScriptedBroker implements Broker {
  epoch = "e1";
  kept: Publication[] = [];
  top = 0;
  reads = 0;
  failures = 0;
  /** Epochs before, with the tops up to which their positions are good. */
  readonly before = new Map<string, number>();
  /** Pages are read at once, but answered after this. */
  held: Promise<void> | undefined;
  /** Subscribing takes until then. */
  subscribing: Promise<void> | undefined;

  constructor(private readonly sink: Sink) {}

  /** Keeps the next publication and hands it on, unless the message is to be lost on the way. */
  add(options: { lost?: boolean } = {}): void {
    this.top++;
    const publication: Publication = {
      offset: this.top,
      time: 0,
      data: String(this.top),
      encoding: undefined,
      name: undefined,
      user: undefined,
      session: undefined,
      exclude: undefined,
    };
    this.kept.push(publication);
    if (options.lost !== true) this.hand(publication);
  }

  hand(publication: Publication): void {
    this.sink.publication("a", this.epoch, publication);
  }

  publish(): Promise<never> {
    return Promise.reject(new Error("not scripted"));
  }

  async subscribe(): Promise<Position> {
    await this.subscribing;
    return { epoch: this.epoch, offset: this.top };
  }

  unsubscribe(): void {}

  history(_channel: string, { from, limit }: HistoryQuery): Promise<HistoryPage> {
    this.reads++;
    if (this.failures > 0) {
      this.failures--;
      return Promise.reject(new Error("the store is away"));
    }
    const top = { epoch: this.epoch, offset: this.top };
    if (from === "earliest" || from === "latest")
      return Promise.resolve({ top, reached: true, publications: [], more: false });
    const rest = this.kept.filter(({ offset }) => offset > from.offset);
    const reached =
      from.offset <= (from.epoch === this.epoch ? this.top : (this.before.get(from.epoch) ?? -1)) &&
      (from.offset === this.top || rest[0]?.offset === from.offset + 1);
    const page = {
      top,
      reached,
      publications: reached ? rest.slice(0, limit) : [],
      more: reached && rest.length > limit,
    };
    return this.held?.then(() => page) ?? Promise.resolve(page);
  }

  clear(): Promise<void> {
    return Promise.resolve();
  }

  channels(): Promise<[]> {
    return Promise.resolve([]);
  }
}

async function followed(): Promise<{
  house: ReturnType<typeof buildCore>;
  broker: ScriptedBroker;
  bob: Awaited<ReturnType<ReturnType<typeof buildCore>["open"]>>;
}> {
  let broker: ScriptedBroker | undefined;
  const house = buildCore({ broker: (sink) => (broker = new ScriptedBroker(sink)) });
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a" });
  if (broker === undefined) throw new Error("no broker");
  return { house, broker, bob };
}

test("[EN-3] what the broker hands on in order is delivered, and nothing is read back for it", async () => {
  const { broker, bob } = await followed();
  for (let n = 0; n < 5; n++) broker.add();
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 2, 3, 4, 5]);
  expect(broker.reads).toBe(0);
});

// Backends wait until somebody is counted, and publish then: from an engine in another process the answer takes its time.
test("[AP-11] whoever is counted as a subscriber gets the next publication", async () => {
  const { house, broker } = await followed();
  const { promise: subscribed, resolve } = Promise.withResolvers<void>();
  broker.subscribing = subscribed;
  const ann = await house.open();
  await ann.say({ type: "subscribe", channel: "b" });
  expect(await house.control.channel("b")).toMatchObject({ subscribers: 0 });
  resolve();
  await settle();
  expect(await house.control.channel("b")).toMatchObject({ subscribers: 1 });
});

test("[RE-1] a publication that was lost on the way is filled in before anything newer goes out", async () => {
  const { broker, bob } = await followed();
  broker.add();
  broker.add({ lost: true });
  broker.add({ lost: true });
  broker.add();
  broker.add();
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 2, 3, 4, 5]);
});

test("[RE-1] a publication that is handed on twice is delivered once", async () => {
  const { broker, bob } = await followed();
  broker.add();
  const [first] = broker.kept;
  if (first === undefined) throw new Error("nothing kept");
  broker.hand(first);
  broker.add();
  broker.hand(first);
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 2]);
});

test("[RE-1] a store that is away while a hole is filled is asked again, and nothing newer overtakes", async () => {
  const { house, broker, bob } = await followed();
  broker.failures = 2;
  broker.add({ lost: true });
  broker.add();
  await settle();
  expect(bob.connection.offsets("a")).toEqual([]);
  house.clock.advance(1000);
  await settle();
  house.clock.advance(1000);
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 2]);
});

test("[RE-11] another epoch under a connected session is told, and the stream goes on at its top", async () => {
  const { broker, bob } = await followed();
  broker.add();
  await settle();
  broker.epoch = "e2";
  broker.kept = [];
  broker.top = 40;
  broker.add();
  broker.add();
  await settle();
  const told = bob.connection.frames().filter(({ type }) => type === "subscribed");
  expect(told).toHaveLength(2);
  expect(told[1]).toEqual({ type: "subscribed", channel: "a", epoch: "e2", offset: 41, recovered: false });
  expect(bob.connection.offsets("a")).toEqual([1, 42]);
});

// What one stream is handed takes along what a topic has for others, and their cursors with it.
test("[RE-11] nobody's cursor is in another epoch before it was told", async () => {
  const { house, broker } = await followed();
  const protocol = { ...nativeProtocol(16), cursorApart: true } as const;
  const [first, second] = [new FakeConnection(), new FakeConnection()];
  const [, handle] = [first, second].map((connection) => house.gateway.open(connection, protocol, { channels: ["a"] }));
  await settle();
  const cursors: [string, number][] = [];
  const send = first.send.bind(first);
  first.send = (frames) => {
    send(frames);
    const cursor = decodeCursor(house.gateway.cursor(handle as SessionHandle) ?? "");
    const told = second.frames().filter(({ type }) => type === "subscribed").length;
    cursors.push([cursor?.get("a")?.epoch ?? "", told]);
  };
  Object.assign(broker, { epoch: "e2", kept: [], top: 40 });
  broker.add();
  await settle();
  expect(cursors).toEqual([["e2", 2]]);
});

test("[RE-11] publications of another epoch are never taken for those that a hole of the old one misses", async () => {
  const { house, broker, bob } = await followed();
  broker.add();
  broker.add({ lost: true });
  const { promise, resolve } = Promise.withResolvers<void>();
  broker.held = promise;
  broker.add();
  await settle();
  // The hole is being read in the old epoch while the channel begins anew, and has three again.
  Object.assign(broker, { epoch: "e2", top: 0, kept: [], held: undefined });
  for (let n = 0; n < 4; n++) broker.add();
  resolve();
  await settle();
  broker.add();
  await settle();
  const frames = bob.connection.frames().slice(2);
  const anew = frames.findIndex(({ type }) => type === "subscribed");
  expect(frames[anew]).toMatchObject({ epoch: "e2", offset: 4, recovered: false });
  expect(frames.slice(0, anew).map((frame) => "offset" in frame && frame.offset)).toEqual([1, 2, 3]);
  expect(frames.slice(anew + 1)).toMatchObject([{ type: "message", offset: 5 }]);
  expect(house.errors).toEqual([]);
});

test("[RE-1] a hole that the history no longer covers is told, and what comes after it is delivered", async () => {
  const { broker, bob } = await followed();
  broker.add();
  await settle();
  for (let n = 0; n < 10; n++) broker.add({ lost: true });
  broker.kept = broker.kept.slice(-2);
  broker.add();
  await settle();
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "subscribed", recovered: false, offset: 12 });
  broker.add();
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 13]);
});

test("[P6] publications beyond what one turn may hand to a topic wait for the next turn, in order", async () => {
  const house = buildCore();
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a" });
  const data = JSON.stringify("x".repeat(50_000));
  const before = bob.connection.writes.length;
  for (let n = 0; n < 20; n++) void house.control.publish({ channel: "a", data });
  const atOnce = bob.connection.writes.length - before;
  await settle();
  expect(atOnce).toBeLessThanOrEqual(6);
  expect(bob.connection.offsets("a")).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
});

test("[P6] one publication is one publish per wire form, however many follow", async () => {
  const house = buildCore();
  for (let n = 0; n < 10; n++) await (await house.open()).say({ type: "subscribe", channel: "a" });
  await house.publish("a", 1);
  expect(house.fanout.publishes).toBe(1);
  expect((await house.control.stats()).deliveries).toBe(10);
});

test("[P4] a follower that does not read is ended as slow, the others get everything", async () => {
  const house = buildCore({ settings: { queueBytesMax: 256 * 1024 } });
  const slow = await house.open();
  const quick = await house.open();
  for (const session of [slow, quick]) await session.say({ type: "subscribe", channel: "a" });
  slow.connection.stalled = true;
  for (let n = 0; n < 10; n++) await house.publish("a", "x".repeat(40_000));
  expect(slow.connection.goodbye?.disconnect).toBe("slow");
  expect(quick.connection.goodbye).toBeUndefined();
  expect(quick.connection.offsets("a")).toHaveLength(10);
  const seen = slow.connection.offsets("a");
  expect(seen).toEqual(Array.from({ length: seen.length }, (_, n) => n + 1));
});

test("[P4] when all queues together are too long, the longest goes first", async () => {
  const house = buildCore({ settings: { queueBytesMax: 400_000, queueBytesTotalMax: 500_000 } });
  const sessions = [await house.open(), await house.open()];
  const [large, small] = sessions;
  await large?.say({ type: "subscribe", channel: "a" });
  await large?.say({ type: "subscribe", channel: "b" });
  await small?.say({ type: "subscribe", channel: "b" });
  for (const session of sessions) session.connection.stalled = true;
  await house.publish("a", "x".repeat(50_000));
  for (let n = 0; n < 5; n++) await house.publish("b", "x".repeat(45_000));
  expect(large?.connection.goodbye?.disconnect).toBe("slow");
  expect(small?.connection.goodbye).toBeUndefined();
});

test("[PU-6] the excluded session gets neither the publication nor, later, its replay; everybody else does", async () => {
  const house = buildCore();
  const bob = await house.open();
  const eve = await house.open();
  for (const session of [bob, eve]) await session.say({ type: "subscribe", channel: "a" });
  await house.publish("a", 1);
  await house.control.publish({ channel: "a", data: "2", exclude: bob.handle.id });
  await house.publish("a", 3);
  expect(bob.connection.offsets("a")).toEqual([1, 3]);
  expect(eve.connection.offsets("a")).toEqual([1, 2, 3]);
  const { session } = bob.connection.frames().find(({ type }) => type === "connected") as { session: string };
  await bob.drop();
  const again = await house.open({ session });
  await again.say({ type: "subscribe", channel: "a", since: "earliest" });
  expect(again.connection.offsets("a")).toEqual([1, 3]);
});

test("[P6] an excluded session is back on the topic of its channel after a while without exclusions", async () => {
  const house = buildCore({ settings: { pingTimeoutMs: 600_000 } });
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a" });
  const join = spyOn(bob.connection, "join");
  const onTopic = (): boolean => house.fanout.members.get("native a")?.has(bob.connection) ?? false;
  const exclude = { channel: "a", data: "0", exclude: bob.handle.id };
  for (let n = 0; n < 3; n++) {
    await house.control.publish(exclude);
    house.clock.advance(9_000);
    await house.publish("a", n);
    expect(onTopic()).toBe(false);
  }
  // Excluded again by the very publication that could have brought it back.
  house.clock.advance(20_000);
  await house.control.publish(exclude);
  expect(onTopic()).toBe(false);
  await house.control.publish({ channel: "a", data: "1" });
  house.clock.advance(10_000);
  // What was sent to it alone in this turn still waits in its outbox: the topic must not overtake it.
  void house.control.publish({ channel: "a", data: "2" });
  void house.control.publish({ channel: "a", data: "3" });
  await settle();
  expect(onTopic()).toBe(true);
  expect(bob.connection.offsets("a")).toEqual([2, 4, 6, 8, 9, 10]);
  expect((await house.control.stats()).deliveries).toBe(6);
  // Once back it stays, without being looked at again.
  house.clock.advance(10_000);
  await house.publish("a", 4);
  expect(join).toHaveBeenCalledTimes(1);
});

test("[P6] order holds when a session comes back to its topic with something in its outbox", async () => {
  const house = buildCore({ settings: { pingTimeoutMs: 600_000 } });
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a" });
  await house.control.publish({ channel: "a", data: "0", exclude: bob.handle.id });
  for (let n = 0; n < 4; n++) {
    void house.control.publish({ channel: "a", data: "1" });
    house.clock.advance(4_000);
  }
  await settle();
  expect(bob.connection.offsets("a")).toEqual([2, 3, 4, 5]);
  expect(house.fanout.members.get("native a")?.size).toBe(1);
});

test("[P4] a session that is found too slow when it would come back to its topic does not", async () => {
  const house = buildCore({ settings: { queueBytesMax: 1_000 } });
  const bob = await house.open();
  const eve = await house.open();
  for (const session of [bob, eve]) await session.say({ type: "subscribe", channel: "a" });
  await house.control.publish({ channel: "a", data: "0", exclude: bob.handle.id });
  bob.connection.stalled = true;
  await house.publish("a", "x".repeat(600));
  void house.control.publish({ channel: "a", data: JSON.stringify("x".repeat(350)) });
  house.clock.advance(10_000);
  void house.control.publish({ channel: "a", data: "1" });
  await settle();
  expect(bob.connection.goodbye?.disconnect).toBe("slow");
  expect(bob.connection.offsets("a")).toEqual([2, 3]);
  expect(eve.connection.offsets("a")).toEqual([1, 2, 3, 4]);
  expect(house.fanout.members.get("native a")).toEqual(new Set([eve.connection]));
});

test("[SU-12] an excluded session that has left is not brought back", async () => {
  const house = buildCore({ settings: { pingTimeoutMs: 600_000 } });
  const bob = await house.open();
  const eve = await house.open();
  for (const session of [bob, eve]) await session.say({ type: "subscribe", channel: "a" });
  for (const session of [bob, eve])
    await house.control.publish({ channel: "a", data: "0", exclude: session.handle.id });
  await bob.say({ type: "unsubscribe", channel: "a" });
  await eve.drop();
  const ann = await house.open();
  await ann.say({ type: "subscribe", channel: "a" });
  house.clock.advance(10_000);
  await house.publish("a", 1);
  expect(house.fanout.members.get("native a")).toEqual(new Set([ann.connection]));
  expect((await house.control.stats()).deliveries).toBe(3);
});

test("[PU-5] echo: false keeps a session's own publications from it", async () => {
  const house = buildCore();
  const bob = await house.open();
  const eve = await house.open();
  await bob.say({ type: "subscribe", channel: "a", echo: false });
  await eve.say({ type: "subscribe", channel: "a" });
  await bob.say({ type: "publish", channel: "a", data: "mine" });
  await eve.say({ type: "publish", channel: "a", data: "hers" });
  expect(bob.connection.offsets("a")).toEqual([2]);
  expect(eve.connection.offsets("a")).toEqual([1, 2]);
});

// It was told `recovered: false`, though nothing was lost: polls, which replay again and again, met it at each failover.
test("[RD-4] a replay goes on in another epoch, in which its position is good", async () => {
  const { house, broker, bob } = await followed();
  for (let n = 0; n < 3; n++) broker.add();
  await settle();
  const { promise, resolve } = Promise.withResolvers<void>();
  broker.held = promise;
  const ann = await house.open();
  const asking = ann.say({ type: "subscribe", channel: "a", since: { epoch: "e1", offset: 1 } });
  await settle();
  // Its first page is on the way while another master begins an epoch.
  broker.before.set("e1", 3);
  Object.assign(broker, { epoch: "e2", held: undefined });
  broker.add();
  await settle();
  resolve();
  await asking;
  await settle();
  broker.add();
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 2, 3, 4, 5]);
  expect(ann.connection.offsets("a")).toEqual([2, 3, 4, 5]);
  const told = ann.connection.frames().filter((frame) => frame.type === "subscribed");
  expect(told.map(({ epoch, offset, recovered }) => [epoch, offset, recovered])).toEqual([
    ["e1", 1, true],
    ["e2", 1, true],
  ]);
  expect(house.errors).toEqual([]);
});
