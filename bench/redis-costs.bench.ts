/**
 * What each call of the engine redis costs Redis and the process that makes it, in microseconds of CPU: the figures of bench/simulate/costs.ts. The engine runs
 * in this process, without clients and without HTTP.
 *
 *     bun bench/redis-costs.bench.ts [calls]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { systemClock } from "../packages/server/src/base/clock.ts";
import { connectRedisEngine } from "../packages/server/src/engines/redis/engine.ts";
import type { Engine } from "../packages/server/src/ports/engine.ts";
import type { Bench } from "./bench.ts";
import { Children } from "./children.ts";
import { type Redis, startRedis } from "./redis.ts";
import { formatTable, type Row } from "./report.ts";
import { threadSeconds } from "./usage.ts";

const CALLS = Number(process.argv[2] ?? 20_000);
/** As many of one turn go together. */
const TOGETHER = 64;
const CHANNELS = 200;
const DATA = JSON.stringify({ text: "x".repeat(180) });
const LOOK_MS = 7000;
const LOOKS = 2;
const FOLLOWERS = [0, 1, 2, 4] as const;

const draft = { data: DATA, keep: true };
const silent = { debug: silence, info: silence, warn: silence, error: silence };
const sink = { publication: silence, event: silence, top: silence, fenced: silence };

function silence(): void {}

async function openEngine(redis: Redis): Promise<Engine> {
  const connected = await connectRedisEngine(
    {
      mode: "single",
      urls: [`redis://127.0.0.1:${redis.port}`],
      master: "mymaster",
      user: undefined,
      password: undefined,
      sentinelUser: undefined,
      sentinelPassword: undefined,
      database: 0,
      prefix: "bench",
      waitReplicas: 0,
      caFile: undefined,
    },
    systemClock,
    silent,
  );
  const settings = {
    retentionOf: () => ({ size: 100, ttlMs: 300_000 }),
    idempotencyMs: 300_000,
    positionTtlMs: 30 * 24 * 3_600_000,
  };
  return connected.open(settings, sink);
}

async function measured(
  redis: Redis,
  what: string,
  count: number,
  call: (number: number) => Promise<unknown>,
): Promise<Row> {
  const before = { redis: threadSeconds([redis.child.pid]), own: process.cpuUsage(), figures: await redis.figures() };
  for (let first = 0; first < count; first += TOGETHER) {
    await Promise.all(Array.from({ length: Math.min(TOGETHER, count - first) }, (_, at) => call(first + at)));
  }
  const own = process.cpuUsage(before.own);
  const figures = await redis.figures();
  return {
    what,
    "Redis us": ((threadSeconds([redis.child.pid]) - before.redis) * 1e6) / count,
    "process us": (own.user + own.system) / count,
    "Redis bytes": (figures.memoryBytes - before.figures.memoryBytes) / count,
  };
}

function channel(number: number): string {
  return `channel-${number % CHANNELS}`;
}

/** Channels that nothing comes in are looked at every seven seconds. */
async function looks(redis: Redis, followed: number): Promise<Row> {
  const before = { redis: threadSeconds([redis.child.pid]), own: process.cpuUsage() };
  await Bun.sleep(LOOKS * LOOK_MS);
  const own = process.cpuUsage(before.own);
  const count = LOOKS * followed;
  return {
    what: "look at a quiet channel",
    "Redis us": ((threadSeconds([redis.child.pid]) - before.redis) * 1e6) / count,
    "process us": (own.user + own.system) / count,
    "Redis bytes": 0,
  };
}

async function main(redis: Redis): Promise<Row[]> {
  const engines = await Promise.all(Array.from({ length: Math.max(...FOLLOWERS) + 1 }, () => openEngine(redis)));
  const [publisher, ...followers] = engines;
  if (publisher === undefined) throw new Error("no engine");
  const { broker, presence, state } = publisher;
  const rows: Row[] = [];
  rows.push(await measured(redis, "first publish to a channel", 2000, (n) => broker.publish(`own-${n}`, draft)));
  rows.push(await measured(redis, "second publish to a channel", 2000, (n) => broker.publish(`own-${n}`, draft)));
  await measured(redis, "", CALLS, (n) => broker.publish(channel(n), draft));
  for (const count of FOLLOWERS) {
    for (const { broker: other } of followers.slice(0, count)) {
      for (let n = 0; n < CHANNELS; n++) await other.subscribe(channel(n));
    }
    rows.push(
      await measured(redis, `publish, ${count} processes follow`, CALLS, (n) => broker.publish(channel(n), draft)),
    );
  }
  const { epoch, offset } = (await broker.history(channel(0), { from: "latest", limit: 1, bytesMax: 1e6 })).top;
  for (const entries of [0, 1, 10, 100]) {
    const query = { from: { epoch, offset: offset - entries }, limit: 1000, bytesMax: 256 * 1024 };
    const calls = entries === 100 ? CALLS / 20 : CALLS / 4;
    rows.push(
      await measured(redis, `history, ${entries} publications`, calls, () => broker.history(channel(0), query)),
    );
  }
  rows.push(await measured(redis, "subscribe", CALLS / 4, (n) => broker.subscribe(`followed-${n}`)));
  rows.push(await looks(redis, CALLS / 4 + CHANNELS));
  rows.push(
    await measured(redis, "presence put", CALLS / 4, (n) =>
      presence.put(`room-${n % 500}`, { session: `session-${n}`, user: `user-${n}` }),
    ),
  );
  const value = JSON.stringify({ user: "somebody", channels: ["a", "b"] });
  rows.push(await measured(redis, "state set", CALLS / 4, (n) => state.set(`key-${n}`, value, 60_000)));
  rows.push(await measured(redis, "state add", CALLS / 4, (n) => state.add(`sum-${n}`, 1, 60_000)));
  rows.push(await measured(redis, "state get", CALLS / 4, (n) => state.get(`key-${n}`)));
  for (const engine of engines) await engine.close();
  return rows;
}

const folder = mkdtempSync(join(tmpdir(), "longwire-bench-"));
const children = new Children();
try {
  const redis = await startRedis({ children, folder } as unknown as Bench);
  process.stdout.write(`${formatTable(await main(redis))}\n`);
} finally {
  await children.stopAll();
  rmSync(folder, { recursive: true, force: true });
}
