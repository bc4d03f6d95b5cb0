import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { until } from "./redis-wait.ts";
import { startRedis, startRedisCluster, startSentinel } from "./redis.ts";

const started: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of started.splice(0)) await one.stop();
});

async function keep<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const one = await starting;
  started.push(one);
  return one;
}

test("a Redis with password and TLS answers those who have both, and is gone without a trace", async () => {
  const redis = await keep(startRedis({ password: "open-sesame", tls: true }));
  expect(redis.url).toStartWith("rediss://:open-sesame@127.0.0.1:");
  expect(await redis.cli("PING")).toBe("PONG");
  const refused = await redis.cli("NO-SUCH-COMMAND").catch((error: Error) => error.message);
  expect(refused).toContain("unknown command");
  await redis.stop();
  expect([redis.isRunning, existsSync(redis.folder)]).toEqual([false, false]);
});

test("a Redis is started again with its data where it keeps them, and without", async () => {
  const kept = await keep(startRedis({ appendonly: "always" }));
  await kept.cli("SET", "a", "1");
  await kept.restart();
  expect(await kept.cli("GET", "a")).toBe("1");
  await kept.restart({ keepData: false });
  expect(await kept.cli("DBSIZE")).toBe("0");

  const forgetful = await keep(startRedis());
  await forgetful.cli("SET", "a", "1");
  await forgetful.restart({ signal: "SIGTERM" });
  expect(await forgetful.cli("DBSIZE")).toBe("0");
});

test("a Redis that is paused answers when it goes on", async () => {
  const redis = await keep(startRedis());
  redis.pause();
  let answer = "";
  const asking = redis.cli("PING").then((text) => (answer = text));
  await Bun.sleep(200);
  expect(answer).toBe("");
  redis.continue();
  expect(await asking).toBe("PONG");
});

test("behind Sentinels another becomes the master when it is asked for, and when the master dies", async () => {
  const sentinels = await keep(startSentinel());
  const first = await sentinels.current();
  await first.cli("SET", "a", "1");
  await sentinels.failover();
  const second = await sentinels.current();
  expect(second.port).not.toBe(first.port);
  const third = await sentinels.killMaster();
  expect(third.port).not.toBe(second.port);
  expect(await third.cli("GET", "a")).toBe("1");
}, 120_000);

test("what is written to a master that its replicas do not see is lost with it", async () => {
  const sentinels = await keep(startSentinel());
  const first = await sentinels.current();
  await first.cli("SET", "a", "1");
  await first.cli("WAIT", "2", "5000");
  await sentinels.loseWrites(async () => void (await first.cli("SET", "lost", "1")));
  const second = await sentinels.current();
  expect(await second.cli("MGET", "a", "lost")).toBe("1\n");
}, 120_000);

test("a master that is cut off goes on with its clients until another is elected", async () => {
  const sentinels = await keep(startSentinel());
  const first = await sentinels.current();
  const parting = sentinels.partitionMaster();
  await Bun.sleep(300);
  await first.cli("SET", "lost", "1");
  await parting;
  const second = await sentinels.current();
  expect(second.port).not.toBe(first.port);
  expect(await second.cli("EXISTS", "lost")).toBe("0");
}, 120_000);

test("a Cluster survives a dead master, and slots move", async () => {
  const cluster = await keep(startRedisCluster());
  await cluster.cli("SET", "{a}key", "1");
  const slot = await cluster.slotOf("{a}");
  const [first, second] = await cluster.masters();
  const before = await cluster.masterOf(slot);
  const target = before === first ? second : first;
  if (target === undefined) throw new Error("there are too few masters");
  await cluster.migrateSlot(slot, target);
  expect(await cluster.masterOf(slot)).toBe(target);
  expect(await cluster.cli("GET", "{a}key")).toBe("1");

  // Replication is asynchronous: what has not arrived yet would be lost.
  await until("its replica has it", async () => {
    const info = await target.cli("INFO", "replication");
    return /master_repl_offset:(\d+)/.exec(info)?.[1] === /,offset=(\d+)/.exec(info)?.[1];
  });
  await cluster.killMaster(target);
  expect(await cluster.masterOf(slot)).not.toBe(target);
  expect(await cluster.cli("GET", "{a}key")).toBe("1");
  await cluster.heal();
  await cluster.reshard(20);
  await cluster.failover();
  expect(await cluster.cli("GET", "{a}key")).toBe("1");
}, 120_000);
