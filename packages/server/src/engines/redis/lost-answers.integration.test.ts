/** [RD-3] What becomes of a publish whose answer is lost, in all the ways in which a network can lose it. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { draftOf } from "../../../test/support/engine.ts";
import { type BrokerNode, openNode } from "../../../test/support/redis-broker.ts";
import { type RedisProxy, startProxy } from "../../../test/support/redis-proxy.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { until } from "../../../test/support/redis-wait.ts";
import type { Published } from "../../ports/broker.ts";
import { channelKeys } from "./keys.ts";

const PAGE = { from: "earliest", limit: 1_000, bytesMax: 1_000_000 } as const;

const retentionOf = (channel: string) => ({ size: channel === "none" ? 0 : 100, ttlMs: 60_000 });

let redis: RedisServer;
let proxy: RedisProxy;
/** Behind the proxy. */
let node: BrokerNode;
/** Straight at Redis. */
let other: BrokerNode;
let opened = 0;
let prefix: string;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

beforeEach(async () => {
  prefix = `lost${opened++}`;
  proxy = await startProxy(redis.port);
  node = await openNode({ urls: [proxy.url], prefix }, { retentionOf });
  other = await openNode({ urls: [redis.url], prefix }, { retentionOf });
});

afterEach(async () => {
  await node.close();
  await other.close();
  proxy.stop();
});

async function kept(channel: string): Promise<string[]> {
  return (await other.broker.history(channel, PAGE)).publications.map(({ data }) => data);
}

async function topOf(channel: string): Promise<number> {
  return Number((await redis.cli("HGET", channelKeys(prefix, channel).meta, "t")) || "0");
}

function failure(published: Promise<unknown>): Promise<unknown> {
  return published.then(
    () => "kept",
    (error: { error?: unknown }) => error.error ?? error,
  );
}

test("[RD-3] stored, the answer lost: the answer is found, and it is stored once", async () => {
  for (const [channel, followed] of [
    ["a", false],
    ["b", true],
  ] as const) {
    if (followed) await node.broker.subscribe(channel);
    await node.broker.publish(channel, draftOf("before"));
    proxy.swallow("answers");
    const published = node.broker.publish(channel, draftOf("lost"));
    await until("it is stored", async () => (await topOf(channel)) === 2);
    // Others go on meanwhile.
    await other.broker.publish(channel, draftOf("after"));
    proxy.cut();
    expect(await published).toMatchObject({ offset: 2, repeated: false });
    expect(await kept(channel)).toEqual(['"before"', '"lost"', '"after"']);
  }
});

test("[RD-3] the message has come, the answer has not: that is answer enough", async () => {
  await node.broker.subscribe("a");
  const { promise, resolve } = Promise.withResolvers<void>();
  node.sink.after = ({ publication }) => {
    if (publication.data === '"x"') {
      proxy.swallow("answers");
      resolve();
    }
  };
  const published = node.broker.publish("a", draftOf("x"));
  await promise;
  proxy.cut();
  expect(await published).toMatchObject({ offset: 1, repeated: false });
  expect(await kept("a")).toEqual(['"x"']);
});

test("[RD-3] never arrived: it is stored when Redis is back, by many in the order in which they were called", async () => {
  await node.broker.publish("a", draftOf("first"));
  // Fences of others, one of which has been needed long ago.
  const { meta } = channelKeys(prefix, "a");
  await redis.cli("HSET", meta, "fgone", "128 1000", "fother", `128 ${(await redis.cli("TIME")).split("\n")[0]}000`);
  proxy.swallow("requests");
  const published = Array.from({ length: 50 }, (_, number) => node.broker.publish("a", draftOf(`${number}`)));
  await Bun.sleep(20);
  proxy.cut();
  const offsets = (await Promise.all(published)).map(({ offset }) => offset);
  expect(offsets).toEqual(Array.from({ length: 50 }, (_, number) => number + 2));
  expect(await kept("a")).toEqual(['"first"', ...Array.from({ length: 50 }, (_, number) => `"${number}"`)]);
  expect([await redis.cli("HEXISTS", meta, "fgone"), await redis.cli("HEXISTS", meta, "fother")]).toEqual(["0", "1"]);
});

test("[RD-3] arrives after it has been sent again: the late one is refused", async () => {
  // Who may not end the broken connection from here cannot keep Redis from reading on in it.
  await redis.cli("ACL", "SETUSER", "meek", "on", ">secret", "~*", "&*", "+@all", "-client|kill");
  await node.close();
  node = await openNode({ urls: [proxy.url], prefix, user: "meek", password: "secret" }, { retentionOf });
  for (const channel of ["new", "used"]) {
    if (channel === "used") await node.broker.publish(channel, draftOf("first"));
    const before = await kept(channel);
    proxy.hold();
    const published = node.broker.publish(channel, draftOf("late"));
    await Bun.sleep(20);
    proxy.cut();
    const { offset } = await published;
    await other.broker.publish(channel, draftOf("next"));
    proxy.release();
    await Bun.sleep(100);
    expect(offset).toBe(before.length + 1);
    expect(await kept(channel)).toEqual([...before, '"late"', '"next"']);
  }
});

test("[RD-3] nothing is kept of the channel: it is stored where that is certain, else `unavailable`, never twice", async () => {
  await node.broker.publish("none", draftOf("1"));
  proxy.swallow("requests");
  const absent = node.broker.publish("none", draftOf("2"));
  await Bun.sleep(20);
  proxy.cut();
  expect(await absent).toMatchObject({ offset: 2 });
  proxy.swallow("answers");
  const stored = node.broker.publish("none", draftOf("3"));
  await until("it is stored", async () => (await topOf("none")) === 3);
  proxy.cut();
  expect(await failure(stored)).toBe("unavailable");
  expect(await topOf("none")).toBe(3);
});

test("[RD-3] with an idempotency key: the answer is the first one, not a repetition", async () => {
  proxy.swallow("answers");
  const published = node.broker.publish("a", draftOf("x", { key: "k" }));
  await until("it is stored", async () => (await topOf("a")) === 1);
  proxy.cut();
  expect(await published).toMatchObject({ offset: 1, repeated: false });
  expect(await other.broker.publish("a", draftOf("x", { key: "k" }))).toMatchObject({ offset: 1, repeated: true });
});

test("[RD-3] not kept, with an idempotency key: the key knows the answer", async () => {
  proxy.swallow("answers");
  const published = node.broker.publish("a", draftOf("x", { key: "k", keep: false }));
  await until(
    "it was said",
    async () => (await redis.cli("EXISTS", `${channelKeys(prefix, "a").idempotency}k`)) === "1",
  );
  proxy.cut();
  expect(await published).toMatchObject({ offset: 0, repeated: true });
  proxy.swallow("requests");
  const unknown = failure(node.broker.publish("a", draftOf("x", { keep: false })));
  await Bun.sleep(20);
  proxy.cut();
  expect(await unknown).toBe("unavailable");
});

test("a broker that is closed finds out nothing more", async () => {
  proxy.swallow("requests");
  const published = failure(node.broker.publish("a", draftOf("x")));
  await Bun.sleep(20);
  const started = performance.now();
  await node.close();
  expect(await published).toBe("unavailable");
  expect(performance.now() - started).toBeLessThan(5_000);
});

test("[RD-3] Redis comes back without its data: what was numbered there is not stored as if nothing had happened", async () => {
  const first = await node.broker.publish("a", draftOf("1"));
  expect(first.offset).toBe(1);
  proxy.swallow("answers");
  const published: Promise<Published> = node.broker.publish("a", draftOf("2"));
  await until("it is stored", async () => (await topOf("a")) === 2);
  await redis.restart();
  proxy.cut();
  expect(await failure(published)).toBe("unavailable");
  expect(await kept("a")).toEqual([]);
});

test("[RD-3] Redis does not come back in time: `unavailable`, and it is not stored later", async () => {
  proxy.swallow("requests");
  const published = failure(node.broker.publish("a", draftOf("x")));
  await Bun.sleep(20);
  proxy.refuse(true);
  proxy.cut();
  expect(await published).toBe("unavailable");
  proxy.refuse(false);
  await until("it is connected again", () => Promise.resolve(node.link.fault === undefined));
  expect(await kept("a")).toEqual([]);
}, 20_000);

test("[RD-2] while Redis is away everything is `unavailable` at once, and goes on by itself", async () => {
  await node.broker.subscribe("a");
  proxy.refuse(true);
  proxy.cut();
  await until("it is noticed", () => Promise.resolve(node.link.fault !== undefined));
  const started = performance.now();
  const all = [
    node.broker.publish("a", draftOf("x")),
    node.broker.history("a", PAGE),
    node.broker.subscribe("b"),
    node.broker.clear("a"),
    node.broker.channels({ limit: 1 }),
  ];
  for (const one of all) expect(await failure(one)).toBe("unavailable");
  expect(performance.now() - started).toBeLessThan(1_000);
  expect(node.link.fault).toContain("127.0.0.1");
  await other.broker.publish("a", draftOf("meanwhile"));
  proxy.refuse(false);
  await until("the hole is told of", () =>
    Promise.resolve(node.sink.tops.some(({ position }) => position.offset === 1)),
  );
  await node.broker.publish("a", draftOf("again"));
  expect(node.sink.data).toEqual(['"again"']);
  // A fault is told of once, however many calls meet it.
  expect(node.log.lines.filter((line) => line.includes("can be used again"))).toHaveLength(1);
  expect(node.log.lines.length).toBeLessThan(6);
});
