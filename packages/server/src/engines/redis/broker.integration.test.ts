/** The broker on Redis: what every broker promises, and what becomes of numberings when Redis restarts, forgets, or is another one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Position } from "@longwire/protocol";
import { brokerContract } from "../../../test/contracts/broker.ts";
import { draftOf, type OpenEngine } from "../../../test/support/engine.ts";
import { type BrokerNode, openNode, openNodeWith } from "../../../test/support/redis-broker.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { until } from "../../../test/support/redis-wait.ts";
import type { HistoryQuery } from "../../ports/broker.ts";
import type { Engine } from "../../ports/engine.ts";
import { channelKeys } from "./keys.ts";

const PAGE = { limit: 1_000, bytesMax: 1_000_000 } as const;

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

let opened = 0;

/** An engine that is a broker: the other ports have tests of their own. */
const open: OpenEngine = async (settings, sink) => {
  const node = await openNodeWith(sink, { urls: [redis.url], prefix: `contract${opened++}` }, settings);
  return { broker: node.broker, close: () => node.close() } as unknown as Engine;
};

brokerContract("redis", open, "its own");

function publishAll(node: BrokerNode, channel: string, from: number, to: number): Promise<unknown> {
  const numbers = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  return Promise.all(numbers.map((number) => node.broker.publish(channel, draftOf(`${number}`))));
}

async function read(node: BrokerNode, from: HistoryQuery["from"], channel = "a"): Promise<number[] | "not reached"> {
  const { reached, publications } = await node.broker.history(channel, { from, ...PAGE });
  return reached ? publications.map(({ offset }) => offset) : "not reached";
}

const settled = (node: BrokerNode): Promise<void> =>
  until("Redis is back", () => Promise.resolve(node.link.fault === undefined));

test("[RD-4] another life of Redis: a new epoch goes on in the numbering, positions up to what it had are good in it", async () => {
  const durable = await startRedis({ appendonly: "always" });
  const node = await openNode({ urls: [durable.url] });
  const fresh = await node.broker.subscribe("never published");
  await publishAll(node, "a", 1, 4);
  const { epoch } = await node.broker.subscribe("a");
  const epochs = [epoch];
  for (let life = 1; life <= 3; life++) {
    await durable.restart({ keepData: true });
    await settled(node);
    const next = await node.broker.publish("a", draftOf("x"));
    expect(next.offset).toBe(4 + life);
    expect(epochs).not.toContain(next.epoch);
    epochs.push(next.epoch);
  }
  // Each epoch is good up to where the next one began.
  for (const [life, old] of epochs.entries()) {
    const last = Math.min(4 + life, 7);
    expect(await read(node, { epoch: old, offset: 3 })).toEqual([4, 5, 6, 7]);
    expect(await read(node, { epoch: old, offset: last })).toEqual([4, 5, 6, 7].filter((offset) => offset > last));
    expect(await read(node, { epoch: old, offset: last + 1 })).toBe("not reached");
  }
  // Those who follow a quiet channel are told, too.
  await until("it is told", () => Promise.resolve(node.sink.tops.filter(({ channel }) => channel === "a").length >= 3));
  const [first] = node.sink.tops.filter(({ channel }) => channel === "never published");
  expect(first?.position.offset).toBe(0);
  expect(first?.position.epoch).not.toBe(fresh.epoch);
  expect(await read(node, fresh, "never published")).toEqual([]);
  await node.close();
  await durable.stop();
}, 20_000);

test("[RD-5] Redis without its data: another epoch from 1, and no position of the old one is good", async () => {
  const forgetful = await startRedis();
  const node = await openNode({ urls: [forgetful.url] });
  await publishAll(node, "a", 1, 3);
  const old = await node.broker.subscribe("a");
  await forgetful.restart();
  await settled(node);
  await until("it is told", () => Promise.resolve(node.sink.tops.length > 0));
  expect(node.sink.tops[0]?.position.epoch).not.toBe(old.epoch);
  const next = await node.broker.publish("a", draftOf("x"));
  expect(next.offset).toBe(1);
  expect(next.epoch).not.toBe(old.epoch);
  for (const offset of [0, 1, 3]) expect(await read(node, { epoch: old.epoch, offset })).toBe("not reached");
  await node.close();
  await forgetful.stop();
});

test("[RD-1] a connection is lost while others publish: it is followed again, and told how far they have come", async () => {
  const [here, there] = [
    await openNode({ urls: [redis.url], prefix: "holes" }),
    await openNode({ urls: [redis.url], prefix: "holes" }),
  ];
  const channels = Array.from({ length: 50 }, (_, number) => `channel ${number}`.replace(" ", ":"));
  await Promise.all(channels.map((channel) => here.broker.subscribe(channel)));
  for (const channel of channels) await there.broker.publish(channel, draftOf("1"));
  await until("they have come", () => Promise.resolve(here.sink.delivered.length === 50));
  const ids = (await redis.cli("CLIENT", "LIST")).split("\n").filter((line) => / sub=50 | ssub=50 /.test(line));
  expect(ids).toHaveLength(1);
  await redis.cli("CLIENT", "KILL", "ID", /id=(\d+)/.exec(ids[0] ?? "")?.[1] ?? "");
  await Promise.all(channels.map((channel) => there.broker.publish(channel, draftOf("2"))));
  const missed = (): string[] => channels.filter((channel) => !here.sink.offsets(channel).includes(2));
  await until("they are told of", () =>
    Promise.resolve(
      missed().every((channel) => here.sink.tops.some((top) => top.channel === channel && top.position.offset === 2)),
    ),
  );
  for (const channel of channels) await there.broker.publish(channel, draftOf("3"));
  await until("they have come", () =>
    Promise.resolve(channels.every((channel) => here.sink.offsets(channel).includes(3))),
  );
  await here.close();
  await there.close();
});

test("[EN-2] publishes of several nodes: everybody has them in order, each publisher its own before its answer", async () => {
  const nodes = await Promise.all([1, 2, 3].map(() => openNode({ urls: [redis.url], prefix: "many" })));
  for (const node of nodes) await node.broker.subscribe("a");
  await Promise.all(
    nodes.map(async (node, index) => {
      for (let number = 0; number < 100; number++) {
        const { offset, followers } = await node.broker.publish("a", draftOf(`${index}.${number}`));
        expect(node.sink.offsets("a").at(-1)).toBeGreaterThanOrEqual(offset);
        expect(followers).toBe(3);
      }
    }),
  );
  const all = Array.from({ length: 300 }, (_, index) => index + 1);
  await until("all have come", () => Promise.resolve(nodes.every(({ sink }) => sink.delivered.length === 300)));
  for (const { sink } of nodes) expect(sink.offsets("a")).toEqual(all);
  for (const { sink } of nodes) expect(sink.data).toEqual(nodes[0]?.sink.data as string[]);
  for (const node of nodes) await node.close();
});

test("[EN-3] subscribe, unsubscribe and subscribe again at once, while others publish: nothing after the top is missed", async () => {
  const [here, there] = [
    await openNode({ urls: [redis.url], prefix: "races" }),
    await openNode({ urls: [redis.url], prefix: "races" }),
  ];
  const over = new AbortController();
  const storm = (async () => {
    while (!over.signal.aborted) await there.broker.publish("a", draftOf("x"));
  })();
  for (let round = 0; round < 30; round++) {
    const first = here.broker.subscribe("a");
    here.broker.unsubscribe("a");
    const second = here.broker.subscribe("a");
    await first;
    const top = await second;
    await until("some have come", () =>
      Promise.resolve(here.sink.offsets("a").some((offset) => offset > top.offset + 3)),
    );
    const offsets = here.sink.offsets("a").filter((offset) => offset > top.offset);
    expect(offsets).toEqual(Array.from(offsets, (_, index) => top.offset + 1 + index));
    here.broker.unsubscribe("a");
  }
  over.abort();
  await storm;
  await here.close();
  await there.close();
});

test("[RD-6] [EN-5] times are Redis's, whatever this machine's clock says", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "times" }, {}, { now: () => 0 });
  await node.broker.subscribe("a");
  await node.broker.publish("a", draftOf("x"));
  const [seconds] = (await redis.cli("TIME")).split("\n");
  expect(Math.abs((node.sink.delivered[0]?.publication.time ?? 0) - Number(seconds) * 1000)).toBeLessThan(60_000);
  expect(await read(node, "earliest")).toEqual([1]);
  await node.close();
});

test("[RD-7] everything that is kept ends by itself", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "ends" }, { positionTtlMs: 500_000 });
  await node.broker.subscribe("never published");
  await node.broker.publish("a", draftOf("x", { key: "k" }));
  const keys = (await redis.cli("KEYS", "ends{*")).split("\n");
  expect(keys.length).toBeGreaterThanOrEqual(5);
  const { list, meta, idempotency } = channelKeys("ends", "a");
  const ends = async (key: string): Promise<number> => Number(await redis.cli("PTTL", key));
  for (const key of keys) expect([key, (await ends(key)) > 0]).toEqual([key, true]);
  expect(await ends(list)).toBeLessThanOrEqual(60_000);
  expect(await ends(`${idempotency}k`)).toBeLessThanOrEqual(300_000);
  expect(await ends(meta)).toBeGreaterThan(500_000);
  expect(await ends(meta)).toBeLessThanOrEqual(1_000_000);
  await node.close();
});

test("[RD-19] following a channel stores nothing of its own: names can be invented without end", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "nothing" });
  await Promise.all(Array.from({ length: 2_000 }, (_, number) => node.broker.subscribe(`invented:${number}`)));
  for (let number = 0; number < 2_000; number++) node.broker.unsubscribe(`invented:${number}`);
  expect((await redis.cli("KEYS", "nothing{*")).split("\n").length).toBeLessThanOrEqual(256);
  await node.close();
});

test("[EN-16] a numbering that is not used is forgotten; the next one has an epoch that never was, and no old position is good", async () => {
  const positionTtlMs = 300;
  const options = { retentionOf: () => ({ size: 10, ttlMs: 100 }), positionTtlMs };
  const node = await openNode({ urls: [redis.url], prefix: "unused" }, options);
  const epochs = new Set<string>();
  const told: Position[] = [];
  for (let life = 0; life < 4; life++) {
    const { epoch } = await node.broker.publish("a", draftOf("x"));
    expect(epochs.has(epoch)).toBe(false);
    epochs.add(epoch);
    told.push({ epoch, offset: 0 }, { epoch, offset: 1 });
    await until("it is forgotten", async () => (await redis.cli("EXISTS", channelKeys("unused", "a").meta)) === "0");
  }
  await node.broker.publish("a", draftOf("x"));
  for (const position of told) expect(await read(node, position)).toBe("not reached");
  expect((await node.broker.channels({ limit: 10 })).map(({ channel }) => channel)).toEqual(["a"]);
  // Of a channel that was forgotten only the name was left, until somebody asked.
  await until("it is forgotten", async () => (await redis.cli("EXISTS", channelKeys("unused", "a").meta)) === "0");
  expect(await node.broker.channels({ limit: 10 })).toEqual([]);
  await node.close();
}, 20_000);

test("[RD-19] the position of a channel without publications is good as long as is promised, also when the origin is another by then", async () => {
  const positionTtlMs = 600;
  const options = { retentionOf: () => ({ size: 10, ttlMs: 60_000 }), positionTtlMs };
  const node = await openNode({ urls: [redis.url], prefix: "origins" }, options);
  const before = await node.broker.subscribe("a");
  await Bun.sleep(positionTtlMs + 50);
  const now = await node.broker.subscribe("a");
  expect(now.epoch).not.toBe(before.epoch);
  expect(await read(node, before)).toEqual([]);
  await node.broker.publish("a", draftOf("x"));
  expect(await read(node, before)).toEqual([1]);
  expect(await read(node, now)).toEqual([1]);
  expect(await read(node, { epoch: before.epoch, offset: 1 })).toBe("not reached");
  await node.close();
});

test("[HI-5] a channel whose retention is taken away and given back shows only what was kept since", async () => {
  let size = 10;
  const node = await openNode(
    { urls: [redis.url], prefix: "retention" },
    { retentionOf: () => ({ size, ttlMs: 60_000 }) },
  );
  await publishAll(node, "a", 1, 3);
  size = 0;
  await publishAll(node, "a", 4, 5);
  size = 10;
  await publishAll(node, "a", 6, 7);
  expect(await read(node, "earliest")).toEqual([6, 7]);
  size = 1;
  expect(await read(node, "earliest")).toEqual([7]);
  await node.close();
});

test("[HI-2] long and heavy histories come page by page, whole and once, in both directions", async () => {
  const node = await openNode(
    { urls: [redis.url], prefix: "pages" },
    { retentionOf: () => ({ size: 1_000, ttlMs: 60_000 }) },
  );
  const data = Array.from({ length: 700 }, (_, number) => "x".repeat((number * 7919) % 3_000));
  await Promise.all(
    data.map((text) => node.broker.publish("a", { data: JSON.stringify(text), keep: true, session: "s".repeat(200) })),
  );
  for (const reverse of [false, true]) {
    const offsets: number[] = [];
    let from: HistoryQuery["from"] = reverse ? "latest" : "earliest";
    for (;;) {
      const page = await node.broker.history("a", { from, reverse, limit: 90, bytesMax: 40_000 });
      expect(page.publications.length).toBeGreaterThan(0);
      for (const publication of page.publications)
        expect(publication.data).toBe(JSON.stringify(data[publication.offset - 1]));
      offsets.push(...page.publications.map(({ offset }) => offset));
      if (!page.more) break;
      from = { epoch: page.top.epoch, offset: offsets.at(-1) ?? 0 };
    }
    const all = Array.from({ length: 700 }, (_, index) => index + 1);
    expect(offsets).toEqual(reverse ? all.toReversed() : all);
  }
  await node.close();
});

test("names of every kind have a channel of their own", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "names" });
  const names = [
    "{",
    "}",
    "{}",
    "a{b}c",
    "{a}",
    "a",
    "}{",
    "@user",
    "x:y",
    "频道",
    "a\u{1f44b}",
    "k:a",
    "x".repeat(200),
  ];
  for (const name of names) await node.broker.subscribe(name);
  for (const name of names) expect(await node.broker.publish(name, draftOf(name))).toMatchObject({ offset: 1 });
  expect(node.sink.delivered.map(({ channel }) => channel)).toEqual(names);
  const listed = (await node.broker.channels({ limit: 100 })).map(({ channel }) => channel);
  expect(listed.toSorted()).toEqual(names.toSorted());
  await node.close();
});

test("[AP-11] many channels are listed page by page, each once", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "list" });
  const names = Array.from({ length: 3_000 }, (_, number) => `${number % 3 === 0 ? "even" : "odd"}:${number}`);
  await Promise.all(names.map((name) => node.broker.publish(name, draftOf("x"))));
  for (const prefix of [undefined, "odd:", "odd:1"]) {
    const listed: string[] = [];
    for (;;) {
      const after = listed.at(-1);
      const page = await node.broker.channels({
        limit: 700,
        ...(prefix === undefined ? {} : { prefix }),
        ...(after === undefined ? {} : { after }),
      });
      listed.push(...page.map(({ channel }) => channel));
      if (page.length < 700) break;
    }
    expect(listed).toEqual(names.filter((name) => name.startsWith(prefix ?? "")).toSorted());
  }
  await node.close();
});

// The index of the names was renewed at every 1,024th publication: a channel that lives on is not named again by its own.
test("[AP-11] a channel is listed as long as it lives, however seldom it is published to", async () => {
  const options = { retentionOf: () => ({ size: 10, ttlMs: 100 }), positionTtlMs: 400 };
  const node = await openNode({ urls: [redis.url], prefix: "seldom" }, options);
  await node.broker.publish("followed", draftOf("x"));
  await node.broker.subscribe("followed");
  for (let number = 0; number < 12; number++) {
    await node.broker.publish("kept", draftOf("x"));
    await node.broker.publish("fleeting", draftOf("x", { keep: number === 0 }));
    // As a node does that looks after what it follows.
    await node.broker.subscribe("followed");
    await Bun.sleep(100);
  }
  const listed = await node.broker.channels({ limit: 10 });
  expect(listed.map(({ channel, top }) => [channel, top.offset])).toEqual([
    ["fleeting", 1],
    ["followed", 1],
    ["kept", 12],
  ]);
  await node.close();
});

test("what a newer version says on a channel is passed over", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "newer" });
  await node.broker.subscribe("a");
  const { messages } = channelKeys("newer", "a");
  const { connections } = node.link;
  await redis.cli("PUBLISH", messages, "?something new");
  await redis.cli("PUBLISH", messages, "jno JSON");
  await redis.cli("PUBLISH", messages, `j${JSON.stringify({ session: "s", user: "bob" })}`);
  await until("it has come", () => Promise.resolve(node.sink.events.length === 1));
  expect(node.sink.events).toEqual([{ type: "join", channel: "a", member: { session: "s", user: "bob" } }]);
  expect(node.sink.delivered).toEqual([]);
  expect(node.link.connections).toEqual(connections);
  await node.close();
});

// Redis ends a connection that follows something when 32 MB wait for it: all came back, read, lost the connection, came back…
test("[RD-1] many who come back at once read what they missed without costing the node its connection", async () => {
  const options = { retentionOf: () => ({ size: 1_000, ttlMs: 60_000 }) };
  const node = await openNode({ urls: [redis.url], prefix: "crowd" }, options);
  await node.broker.subscribe("a");
  const data = JSON.stringify("x".repeat(1_000));
  await Promise.all(Array.from({ length: 300 }, () => node.broker.publish("a", { data, keep: true })));
  const large = JSON.stringify("x".repeat(1_000_000));
  await Promise.all(Array.from({ length: 12 }, () => node.broker.publish("b", { data: large, keep: true })));
  const { connections } = node.link;
  const pages = await Promise.all(
    Array.from({ length: 400 }, (_, number) =>
      node.broker.history(number % 10 === 0 ? "b" : "a", { from: "earliest", limit: 1_000, bytesMax: 262_144 }),
    ),
  );
  for (const page of pages) expect(page.publications.length).toBeGreaterThan(0);
  expect(node.link.connections).toEqual(connections);
  await node.close();
}, 30_000);
