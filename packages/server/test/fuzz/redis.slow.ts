/**
 * The broker on Redis over networks that cut, lose and delay, and a Redis that restarts, forgets its scripts and ends connections. Nothing that
 * Redis has is ever lost here, so all must come out: what was acknowledged is in the history once, under the offset of its answer, in the order in which
 * its node was called; what was `unavailable` is there once at most; and who follows a channel has all of it, once and in order, without ever having
 * been told that something could not be recovered.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Position } from "@longwire/protocol";
import type { Random } from "@longwire/protocol/test/random";
import { ReplyError } from "../../src/base/failures.ts";
import type { Broker, Publication, Sink } from "../../src/ports/broker.ts";
import { draftOf, settingsOf } from "../support/engine.ts";
import { type BrokerNode, openNodeWith } from "../support/redis-broker.ts";
import { type RedisProxy, startProxy } from "../support/redis-proxy.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { until } from "../support/redis-wait.ts";
import { fuzzRun } from "./run.ts";

const FUZZ = fuzzRun({ short: 6, full: 120 });
const CHANNELS = ["a", "b", "c"];
const STEPS = 80;
const SETTINGS = settingsOf({ retentionOf: () => ({ size: 100_000, ttlMs: 3_600_000 }) });
const PAGE = { limit: 1_000, bytesMax: 1_000_000 } as const;
const FULL_MS = 3_600_000;

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis({ appendonly: "always" });
});

afterAll(() => redis.stop());

/** What the hub does, with nothing else around it. */
class Follower implements Sink {
  readonly delivered = new Map<string, string[]>();
  readonly #at = new Map<string, Position>();
  readonly #mending = new Map<string, boolean>();
  broker: Broker | undefined;
  unreached = 0;

  publication(channel: string, epoch: string, { offset, data }: Publication): void {
    const at = this.#at.get(channel);
    if (at === undefined) return;
    if (epoch === at.epoch && offset === at.offset + 1 && !this.#mending.has(channel))
      this.#take(channel, epoch, offset, data);
    else if (epoch !== at.epoch || offset > at.offset) this.#mend(channel);
  }

  event(): void {}
  fenced(): void {}

  top(channel: string, { epoch, offset }: Position): void {
    const at = this.#at.get(channel);
    if (at !== undefined && (at.epoch !== epoch || at.offset < offset)) this.#mend(channel);
  }

  async follow(channel: string): Promise<void> {
    const { epoch } = await (this.broker as Broker).subscribe(channel);
    this.#at.set(channel, { epoch, offset: 0 });
    this.delivered.set(channel, []);
    this.#mend(channel);
  }

  #take(channel: string, epoch: string, offset: number, data: string): void {
    this.#at.set(channel, { epoch, offset });
    this.delivered.get(channel)?.push(data);
  }

  #mend(channel: string): void {
    const isRunning = this.#mending.has(channel);
    this.#mending.set(channel, true);
    if (!isRunning) void this.#mendAll(channel);
  }

  async #mendAll(channel: string): Promise<void> {
    while (this.#mending.get(channel) === true) {
      this.#mending.set(channel, false);
      const from = this.#at.get(channel) as Position;
      try {
        const page = await (this.broker as Broker).history(channel, { from, ...PAGE });
        if (!page.reached) this.unreached++;
        for (const { offset, data } of page.publications) this.#take(channel, page.top.epoch, offset, data);
        this.#at.set(channel, { epoch: page.top.epoch, offset: this.#at.get(channel)?.offset ?? 0 });
        if (page.more) this.#mending.set(channel, true);
      } catch (error) {
        if (!(error instanceof ReplyError)) throw error;
        this.#mending.set(channel, true);
        await Bun.sleep(20);
      }
    }
    this.#mending.delete(channel);
  }
}

interface Call {
  readonly channel: string;
  readonly data: string;
  /** undefined: `unavailable`. */
  offset?: number;
}

class House {
  readonly calls: Call[] = [];
  readonly #running: Promise<unknown>[] = [];
  readonly #later: Promise<unknown>[] = [];

  constructor(
    readonly number: number,
    readonly proxy: RedisProxy,
    readonly node: BrokerNode<Follower>,
  ) {}

  static async open(prefix: string, number: number): Promise<House> {
    const proxy = await startProxy(redis.port);
    const node = await openNodeWith(new Follower(), { urls: [proxy.url], prefix }, SETTINGS);
    node.sink.broker = node.broker;
    return new House(number, proxy, node);
  }

  publish(channel: string): void {
    const call: Call = { channel, data: `${this.number}.${this.calls.length}` };
    this.calls.push(call);
    const published = this.node.broker.publish(channel, draftOf(call.data)).then(
      ({ offset }) => {
        call.offset = offset;
      },
      (error: unknown) => {
        if (!(error instanceof ReplyError) || error.error !== "unavailable") throw error;
      },
    );
    this.#running.push(published);
  }

  async harm(random: Random): Promise<void> {
    const { proxy } = this;
    const kind = random.below(5);
    if (kind === 1) proxy.swallow("answers");
    else if (kind === 2) proxy.swallow("requests");
    else if (kind === 3) proxy.hold();
    for (let count = random.below(4); count > 0; count--) this.publish(random.pick(CHANNELS));
    await Bun.sleep(random.below(30));
    proxy.cut();
    // Bytes that were on their way for long.
    if (kind === 3) this.#later.push(Bun.sleep(random.below(400)).then(() => proxy.release()));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#later);
    await until("it is connected", () => Promise.resolve(this.node.link.fault === undefined));
    await Promise.all(this.#running);
  }

  async close(): Promise<void> {
    await this.node.close();
    this.proxy.stop();
  }
}

async function wholeHistory(broker: Broker, channel: string): Promise<Publication[]> {
  const all: Publication[] = [];
  for (;;) {
    const last = all.at(-1)?.offset;
    const { top } = await broker.history(channel, { from: "latest", ...PAGE });
    const from = last === undefined ? ("earliest" as const) : { epoch: top.epoch, offset: last };
    const { publications, more } = await broker.history(channel, { from, ...PAGE });
    all.push(...publications);
    if (!more) return all;
  }
}

async function check(houses: readonly House[], channel: string): Promise<void> {
  const [first] = houses;
  if (first === undefined) return;
  const history = await wholeHistory(first.node.broker, channel);
  expect(history.map(({ offset }) => offset)).toEqual(Array.from(history, (_, index) => index + 1));
  const data = history.map((publication) => JSON.parse(publication.data) as string);
  expect(new Set(data).size).toBe(data.length);
  for (const { calls, number } of houses) {
    const called = calls.filter((call) => call.channel === channel);
    for (const { offset, data: said } of called)
      if (offset !== undefined) expect([said, data[offset - 1]]).toEqual([said, said]);
    const kept = data.filter((said) => said.startsWith(`${number}.`));
    const acknowledged = called.filter(({ offset }) => offset !== undefined).map((call) => call.data);
    expect(kept.filter((said) => acknowledged.includes(said))).toEqual(acknowledged);
  }
  for (const { node } of houses) {
    const { sink } = node;
    await until("followers have everything", () =>
      Promise.resolve((sink.delivered.get(channel)?.length ?? 0) >= data.length),
    );
    expect(sink.delivered.get(channel)?.map((text) => JSON.parse(text) as string)).toEqual(data);
    expect(sink.unreached).toBe(0);
  }
}

test(
  "[RD-1] [RD-3] [RD-4] [RD-10] nothing is lost, doubled or turned round, whatever the way to Redis does",
  async () => {
    await FUZZ.each("redis broker", async (random, n) => {
      const houses = [await House.open(`fuzz${n}`, 0), await House.open(`fuzz${n}`, 1)];
      for (const { node } of houses) for (const channel of CHANNELS) await node.sink.follow(channel);
      for (let step = 0; step < STEPS; step++) {
        const house = random.pick(houses);
        const chance = random.below(100);
        if (chance < 70) for (let count = random.below(6); count >= 0; count--) house.publish(random.pick(CHANNELS));
        else if (chance < 85) await house.harm(random);
        else if (chance < 88) await redis.cli("SCRIPT", "FLUSH");
        else if (chance < 91) await redis.cli("CLIENT", "KILL", "TYPE", "pubsub");
        else if (chance < 92) await redis.restart({ keepData: true });
        else await Bun.sleep(random.below(20));
        await Bun.sleep(random.below(4));
      }
      for (const house of houses) await house.settled();
      for (const channel of CHANNELS) await check(houses, channel);
      for (const house of houses) await house.close();
    });
  },
  FULL_MS,
);
