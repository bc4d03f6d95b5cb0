/** The engine redis, port by port. The broker has a file of its own. */
import { afterAll, beforeAll } from "bun:test";
import { nodeBusContract } from "../../../test/contracts/node-bus.ts";
import { presenceContract } from "../../../test/contracts/presence.ts";
import { stateContract } from "../../../test/contracts/state.ts";
import type { OpenEngine } from "../../../test/support/engine.ts";
import { linkSettings, RecordingLog } from "../../../test/support/redis-broker.ts";
import { openRedisNode } from "../../../test/support/redis-engine.ts";
import { until } from "../../../test/support/redis-wait.ts";
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

nodeBusContract("redis", async (answerings) => {
  const prefix = `bus${opened++}`;
  const nodes = await Promise.all(
    answerings.map(async (answering) => {
      const node = await openRedisNode({ urls: [redis.url], prefix });
      node.engine.bus.listen(answering);
      return node;
    }),
  );
  const buses = nodes.map(({ engine }) => engine.bus);
  const knows = (bus: (typeof buses)[number], count: number): boolean => bus.peers().length === count;
  await until("peers", () => Promise.resolve(buses.every((bus) => knows(bus, buses.length - 1))));
  return {
    buses,
    elapse: Bun.sleep,
    async kill(at) {
      nodes[at]?.kill();
      const left = buses.filter((_, index) => index !== at);
      await until("a death", () => Promise.resolve(left.every((bus) => knows(bus, left.length - 1))));
    },
    async close() {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
});
