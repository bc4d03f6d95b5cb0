/** The engine redis, port by port. The broker has a file of its own. */
import { afterAll, beforeAll } from "bun:test";
import { nodeBusContract } from "../../../test/contracts/node-bus.ts";
import { presenceContract } from "../../../test/contracts/presence.ts";
import { stateContract } from "../../../test/contracts/state.ts";
import type { OpenEngine } from "../../../test/support/engine.ts";
import { linkSettings, RecordingLog } from "../../../test/support/redis-broker.ts";
import { openRedisBuses } from "../../../test/support/redis-buses.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { systemClock } from "../../base/clock.ts";
import { connectRedisEngine } from "./engine.ts";

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis.stop());

let opened = 0;

const open: OpenEngine = async (settings, sink) => {
  const { ca: _, ...link } = linkSettings({ urls: [redis.url], prefix: `contract${opened++}` });
  const connected = await connectRedisEngine({ ...link, caFile: undefined }, systemClock, new RecordingLog());
  return connected.open(settings, sink);
};

presenceContract("redis", open);
stateContract("redis", open, "its own");

nodeBusContract("redis", (answerings) => openRedisBuses({ urls: [redis.url], prefix: `bus${opened++}` }, answerings));
