/** Presence while the ways to Redis break at random: in the end all is as it was wanted, and what was told on the way was true. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { openRedisNode, type RedisNode } from "../../../test/support/redis-engine.ts";
import { until } from "../../../test/support/redis-wait.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";

const STORM_MS = 5_000;
const SESSIONS = 40;
const USERS = 12;
/** Nobody is taken for dead in it. */
const times = { renewMs: 500, leaseMs: 60_000 };

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Puts and drops one session, one after the other; returns the user as whom it is present in the end. */
async function live(node: RedisNode, session: string, random: (below: number) => number, end: number): Promise<string> {
  let user = "";
  while (performance.now() < end) {
    await Bun.sleep(random(60));
    if (random(3) === 0) {
      await node.engine.presence.drop("a", session);
      user = "";
      continue;
    }
    const next = `u${random(USERS)}`;
    await node.engine.presence.put("a", { session, user: next, data: random(1_000) }).then(
      () => (user = next),
      () => undefined,
    );
  }
  return user;
}

async function breakWays(nodes: readonly RedisNode[], random: (below: number) => number, end: number): Promise<void> {
  while (performance.now() < end) {
    await Bun.sleep(100 + random(400));
    const node = nodes[random(nodes.length)];
    // With what is on its way first held back, then lost: done by Redis or not.
    if (random(2) === 0) redis.pause();
    await Bun.sleep(random(30));
    node?.cut();
    redis.continue();
    await Bun.sleep(random(300));
    node?.mend();
  }
}

test("[RD-14] a storm of broken ways leaves nothing wrong", async () => {
  const seed = Date.now() >>> 0;
  process.stdout.write(`seed ${seed}\n`);
  const random = randomOf(seed);
  const nodes = await Promise.all([1, 2, 3].map(() => openRedisNode({ urls: [redis.url], prefix: "storm", times })));
  const [observer, ...others] = nodes as [RedisNode, RedisNode, RedisNode];
  await observer.engine.broker.subscribe("a");
  const end = performance.now() + STORM_MS;
  const lives = Array.from({ length: SESSIONS }, (_, n) => {
    const node = others[n % others.length] ?? observer;
    return live(node, `s${n}`, randomOf(seed + n), end);
  });
  await breakWays(others, random, end);
  const users = await Promise.all(lives);
  const wanted = users.map((user, n) => `s${n} ${user}`).filter((line) => !line.endsWith(" "));
  let found: string[] = [];
  await until("what is wanted", async () => {
    const { members } = await observer.engine.presence.list("a", SESSIONS);
    found = members.map(({ session, user = "" }) => `${session} ${user}`);
    return found.toSorted().join() === wanted.toSorted().join();
  }).catch(() => expect(found.toSorted()).toEqual(wanted.toSorted()));
  const present = new Set<string>();
  for (const { type, member } of observer.sink.events) {
    const user = member.user ?? "";
    // Nobody comes who is there, nobody goes who is not.
    expect([type, user, present.has(user)]).toEqual([type, user, type === "leave"]);
    if (type === "join") present.add(user);
    else present.delete(user);
  }
  expect([...present].toSorted()).toEqual([...new Set(users.filter((user) => user !== ""))].toSorted());
  await until("all to be back", () => Promise.resolve(nodes.every(({ engine }) => engine.health().ready)));
  await Promise.all(nodes.map((node) => node.close()));
  expect(await redis.cli("KEYS", "storm*:p*")).toBe("");
}, 60_000);
