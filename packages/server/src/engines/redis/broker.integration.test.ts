/** The broker on Redis: what every broker promises, and what becomes of it when Redis goes away, comes back, or is another one. */
import { afterAll, beforeAll } from "bun:test";
import { brokerContract } from "../../../test/contracts/broker.ts";
import type { OpenEngine } from "../../../test/support/engine.ts";
import { openNodeWith } from "../../../test/support/redis-broker.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import type { Engine } from "../../ports/engine.ts";

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
