/** Presence when Sentinels name another master, which has not got everything that the one before had acknowledged. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { openRedisNode } from "../../../test/support/redis-engine.ts";
import { until } from "../../../test/support/redis-wait.ts";
import { type RedisSentinels, startSentinel } from "../../../test/support/redis.ts";

const SLOW_MS = 90_000;

let sentinels: RedisSentinels;

beforeAll(async () => {
  sentinels = await startSentinel();
}, SLOW_MS);

afterAll(() => sentinels.stop());

test(
  "[RD-5] [RD-8] what a failover has lost is put again, or removed again, and nobody is taken for dead",
  async () => {
    const { urls, password } = sentinels;
    const options = { mode: "sentinel", urls, password, master: "mymaster", prefix: "failover" } as const;
    const [a, b] = [await openRedisNode(options), await openRedisNode(options)];
    await a.engine.broker.subscribe("a");
    const entries = Array.from({ length: 50 }, (_, n) => `s${n}`);
    for (const session of entries) await b.engine.presence.put("a", { session, data: 1 });
    const kept = entries.slice(0, 20);
    const come = ["new1", "new2"];
    await sentinels.loseWrites(async () => {
      for (const session of entries.slice(20)) await b.engine.presence.drop("a", session);
      for (const session of come) await a.engine.presence.put("a", { session });
      await b.engine.presence.put("a", { session: "s0", data: 2 });
    });
    const wanted = [...kept, ...come].toSorted();
    let found: readonly { session: string; data?: unknown }[] = [];
    await until("what is wanted", async () => {
      const { members } = await a.engine.presence.list("a", 100).catch(() => ({ members: [] }));
      found = members;
      return (
        members
          .map(({ session }) => session)
          .toSorted()
          .join() === wanted.join()
      );
    });
    expect(found.find(({ session }) => session === "s0")?.data).toBe(2);
    await until("peers", () => Promise.resolve([a, b].every(({ engine }) => engine.bus.peers().length === 1)));
    expect([a.sink.fences, b.sink.fences]).toEqual([0, 0]);
    await b.close();
    expect(await a.engine.presence.count("a")).toEqual({ users: 2, sessions: 2 });
    await a.close();
  },
  SLOW_MS,
);
