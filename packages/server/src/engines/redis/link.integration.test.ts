/** The way to Redis: what refuses the start (RD-9), what is told of later, scripts forgotten (RD-10), replicas waited for (RD-12), prefixes (RD-13). */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { draftOf } from "../../../test/support/engine.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { openNode } from "../../../test/support/redis-broker.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { until } from "../../../test/support/redis-wait.ts";
import { StartupError } from "../../base/failures.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

type Options = Parameters<typeof openNode>[0];

/** Why it does not start. */
async function refusal(options: Options): Promise<string> {
  const failure: unknown = await openNode(options).then(
    (node) => node.close(),
    (error: unknown) => error,
  );
  if (!(failure instanceof StartupError)) throw new Error(`it started, or failed otherwise: ${String(failure)}`);
  return `${failure.message}: ${failure.advice}`;
}

const failureOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "kept",
    (error: unknown) => error,
  );

/** Answers HELLO, and INFO with this. */
async function fakeRedis(hello: string, info: string): Promise<{ url: string; server: Server }> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      const text = bytes.toString();
      if (text.includes("HELLO")) socket.write(hello);
      if (text.includes("INFO")) socket.write(`$${Buffer.byteLength(info)}\r\n${info}\r\n`);
    });
  });
  const port = freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { url: `redis://127.0.0.1:${port}`, server };
}

test("[RD-9] a Redis that is too old, or does not know what every new one knows", async () => {
  const old = await fakeRedis("%1\r\n+server\r\n+redis\r\n", "redis_version:6.2.14\r\nrole:master\r\n");
  expect(await refusal({ urls: [old.url] })).toMatch(/is Redis 6\.2\.14: .*7\.0 or newer/);
  old.server.close();
  const ancient = await fakeRedis("-ERR unknown command `HELLO`\r\n", "");
  expect(await refusal({ urls: [ancient.url] })).toMatch(/does not know HELLO.*7\.0 or newer/);
  ancient.server.close();
});

test("[RD-9] a wrong password, none where one is wanted, one where there is none, and it is never shown", async () => {
  const guarded = await startRedis({ password: "right-word" });
  expect(await refusal({ urls: [guarded.url], password: "wrong-word" })).toContain("does not accept user and password");
  expect(await refusal({ urls: [guarded.url] })).toContain("wants a password");
  const node = await openNode({ urls: [guarded.url], password: "right-word" });
  await guarded.cli("CONFIG", "SET", "requirepass", "another-word");
  await failureOf(node.link.call("", ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"]));
  await until("it is told of", () => Promise.resolve(node.link.fault?.includes("does not accept") === true));
  expect(node.log.lines.join("\n")).toContain("does not accept user and password");
  expect(node.log.lines.join("\n")).not.toMatch(/right-word|another-word/);
  await node.close();
  await guarded.stop();
});

test("[RD-9] a user who may not use what is needed: the command is named", async () => {
  const acl = (...rules: string[]) =>
    redis.cli("ACL", "SETUSER", "gateway", "reset", "on", ">secret", "~test*", "&test*", ...rules);
  const options = { urls: [redis.url], user: "gateway", password: "secret" };
  await acl("+@all", "-rpush");
  expect(await refusal(options)).toContain("the command rpush");
  await acl("+@all", "-evalsha");
  expect(await refusal(options)).toContain("the command eval");
  await acl("+@all", "-subscribe");
  expect(await refusal(options)).toContain("the command subscribe");
  await acl("+@all", "-info");
  expect(await refusal(options)).toContain("the command info");
  await acl("+@all");
  const node = await openNode(options);
  expect(await node.broker.publish("a", draftOf("x"))).toMatchObject({ offset: 1 });
  // Its right is taken away later: told of, not a crash.
  await acl("+@all", "-hset");
  const failure = await failureOf(node.broker.publish("b", draftOf("x")));
  expect(failure).toMatchObject({ error: "unavailable" });
  await node.close();
});

test("[RD-9] a replica, and a memory policy that evicts", async () => {
  const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(redis.port)] });
  expect(await refusal({ urls: [replica.url] })).toContain("is a replica that cannot be written to");
  await replica.stop();
  const evicting = await startRedis({ args: ["--maxmemory", "64mb", "--maxmemory-policy", "volatile-lru"] });
  expect(await refusal({ urls: [evicting.url] })).toMatch(/volatile-lru.*noeviction/);
  await evicting.cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
  const node = await openNode({ urls: [evicting.url] });
  await evicting.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
  await until("it is told of", () => Promise.resolve(node.link.fault?.includes("allkeys-lru") === true));
  await evicting.cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
  await until("it is well again", () => Promise.resolve(node.link.fault === undefined));
  await node.close();
  await evicting.stop();
}, 60_000);

test("[RD-9] another kind of server than redisMode says", async () => {
  expect(await refusal({ urls: [redis.url], mode: "cluster" })).toContain("is no node of a Redis Cluster");
  expect(await refusal({ urls: [redis.url], mode: "sentinel" })).toContain("no Sentinel can be reached");
  const member = await startRedis({ config: ["cluster-enabled yes", `cluster-port ${freePort()}`] });
  expect(await refusal({ urls: [member.url] })).toMatch(/is a node of a Redis Cluster.*redisMode cluster/);
  expect(await refusal({ urls: [member.url], mode: "cluster" })).toContain("has no master");
  await member.stop();
}, 20_000);

test("[RD-9] nobody there, or nobody who answers: five seconds are waited", async () => {
  const absent = refusal({ urls: [`redis://127.0.0.1:${freePort()}`] });
  const silent = await fakeRedis("", "");
  expect(await refusal({ urls: [silent.url] })).toContain("cannot be reached");
  expect(await absent).toMatch(/cannot be reached: .*ECONNREFUSED/);
  silent.server.close();
}, 20_000);

test("[RD-9] TLS: the certificate's authority has to be known", async () => {
  const secure = await startRedis({ tls: true });
  const ca = readFileSync(secure.ca ?? "", "utf8");
  expect(await refusal({ urls: [secure.url] })).toMatch(/certificate.*not accepted.*redisCa/);
  const node = await openNode({ urls: [secure.url], ca });
  await node.broker.subscribe("a");
  await node.broker.publish("a", draftOf("x"));
  expect(node.sink.data).toEqual(['"x"']);
  await node.close();
  expect(await refusal({ urls: [secure.url.replace("rediss:", "redis:")] })).toContain("rediss://");
  await secure.stop();
}, 20_000);

test("[RD-10] forgotten scripts are sent again, in the order of the calls", async () => {
  const node = await openNode({ urls: [redis.url], prefix: "forgetful" });
  await node.broker.publish("a", draftOf("0"));
  for (let round = 0; round < 5; round++) {
    await redis.cli("SCRIPT", "FLUSH");
    const published = Array.from({ length: 20 }, () => node.broker.publish("a", draftOf("x")));
    await Bun.sleep(0);
    published.push(...Array.from({ length: 20 }, () => node.broker.publish("a", draftOf("x"))));
    const offsets = (await Promise.all(published)).map(({ offset }) => offset);
    expect(offsets).toEqual(Array.from({ length: 40 }, (_, index) => round * 40 + index + 2));
  }
  await node.close();
});

test("[RD-9] out of memory: publishes are `unavailable` and stored not even half, the rest goes on, and it ends by itself", async () => {
  const small = await startRedis();
  const node = await openNode({ urls: [small.url] });
  await node.broker.publish("a", draftOf("1"));
  await small.cli("CONFIG", "SET", "maxmemory", "1");
  expect(await failureOf(node.broker.publish("a", draftOf("2", { key: "k" })))).toMatchObject({ error: "unavailable" });
  expect(await failureOf(node.broker.publish("b", draftOf("2")))).toMatchObject({ error: "unavailable" });
  expect(node.link.fault).toContain("no memory left");
  const { publications } = await node.broker.history("a", { from: "earliest", limit: 10, bytesMax: 1000 });
  expect(publications.map(({ data }) => data)).toEqual(['"1"']);
  await small.cli("CONFIG", "SET", "maxmemory", "0");
  await until("it is well again", () => Promise.resolve(node.link.fault === undefined));
  expect(await node.broker.publish("a", draftOf("2", { key: "k" }))).toMatchObject({ offset: 2, repeated: false });
  await node.close();
  await small.stop();
});

test("[RD-9] a master that becomes a replica: told of, and used again when it is a master", async () => {
  const turning = await startRedis();
  const node = await openNode({ urls: [turning.url] });
  await node.broker.subscribe("a");
  const { epoch } = await node.broker.publish("a", draftOf("1"));
  await turning.cli("REPLICAOF", "127.0.0.1", String(redis.port));
  expect(await failureOf(node.broker.publish("a", draftOf("2")))).toMatchObject({ error: "unavailable" });
  await until("it is told of", () => Promise.resolve(node.link.fault?.includes("replica") === true));
  await turning.cli("REPLICAOF", "NO", "ONE");
  await until("it is used again", () => Promise.resolve(node.link.fault === undefined));
  const published = await node.broker.publish("a", draftOf("2"));
  expect(published.epoch).not.toBe(epoch);
  await node.close();
  await turning.stop();
}, 20_000);

test("[RD-2] a Redis that stands still is given up, and used again when it goes on", async () => {
  const still = await startRedis();
  const node = await openNode({ urls: [still.url] });
  await node.broker.publish("a", draftOf("1"));
  still.pause();
  const published = node.broker.publish("a", draftOf("2"));
  await until("it is given up", () => Promise.resolve(node.link.fault !== undefined));
  expect(node.link.fault).toContain("no answer");
  still.continue();
  expect(await published).toMatchObject({ offset: 2 });
  const { publications } = await node.broker.history("a", { from: "earliest", limit: 10, bytesMax: 1000 });
  expect(publications.map(({ data }) => data)).toEqual(['"1"', '"2"']);
  await node.close();
  await still.stop();
}, 30_000);

test("[RD-12] replicas are waited for, and their number is what counts", async () => {
  const master = await startRedis();
  const waiting = await openNode({ urls: [master.url], waitReplicas: 1 });
  await waiting.broker.subscribe("a");
  expect(await failureOf(waiting.broker.publish("a", draftOf("1", { key: "k" })))).toMatchObject({
    error: "unavailable",
  });
  // What was kept without them is not answered as kept later either.
  expect(await failureOf(waiting.broker.publish("a", draftOf("1", { key: "k" })))).toMatchObject({
    error: "unavailable",
  });
  const replica = await startRedis({ args: ["--replicaof", "127.0.0.1", String(master.port)] });
  await until("it follows", async () => (await replica.cli("INFO", "replication")).includes("master_link_status:up"));
  const answers = await Promise.all(Array.from({ length: 50 }, (_, n) => waiting.broker.publish("a", draftOf(`${n}`))));
  expect(answers.map(({ offset }) => offset)).toEqual(Array.from({ length: 50 }, (_, n) => n + 2));
  expect(waiting.sink.offsets("a")).toEqual(Array.from({ length: 51 }, (_, n) => n + 1));
  expect(await waiting.broker.publish("a", draftOf("1", { key: "k" }))).toMatchObject({ offset: 1, repeated: true });
  await waiting.close();
  await replica.stop();
  await master.stop();
}, 30_000);

test("[RD-13] gateways with different prefixes do not notice each other's channels", async () => {
  const one = await openNode({ urls: [redis.url], prefix: "one" });
  const two = await openNode({ urls: [redis.url], prefix: "two" });
  await two.broker.subscribe("a");
  await one.broker.publish("a", draftOf("x"));
  expect(await two.broker.publish("a", draftOf("y"))).toMatchObject({ offset: 1 });
  expect(two.sink.data).toEqual(['"y"']);
  expect((await two.broker.channels({ limit: 10 })).map(({ channel }) => channel)).toEqual(["a"]);
  for (const node of [one, two]) await node.close();
  const keys = (await redis.cli("KEYS", "*")).split("\n");
  expect(keys.filter((key) => !/^(one|two|forgetful|test)\{/.test(key))).toEqual([]);
});

test("a closed link leaves no connection", async () => {
  const lonely = await startRedis();
  const node = await openNode({ urls: [lonely.url], waitReplicas: 0 });
  await node.broker.subscribe("a");
  await node.close();
  await until("they are gone", async () => (await lonely.cli("CLIENT", "LIST")).split("\n").length === 1);
  expect(await failureOf(node.broker.publish("a", draftOf("x")))).toMatchObject({ error: "unavailable" });
  await lonely.stop();
});
