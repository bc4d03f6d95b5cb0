/** Buses over Redis for their contract: `nodeBusContract("redis", (answerings) => openRedisBuses({ urls, prefix }, answerings))`. */
import type { Answering } from "../../src/ports/node-bus.ts";
import type { BusHouse } from "../contracts/node-bus.ts";
import { type NodeOptions, openRedisNode } from "./redis-engine.ts";
import { until } from "./redis-wait.ts";

export async function openRedisBuses(options: NodeOptions, answerings: readonly Answering[]): Promise<BusHouse> {
  const nodes = await Promise.all(
    answerings.map(async (answering) => {
      const node = await openRedisNode(options);
      node.engine.bus.listen(answering);
      return node;
    }),
  );
  const buses = nodes.map(({ engine }) => engine.bus);
  const know = (some: typeof buses): boolean => some.every((bus) => bus.peers().length === some.length - 1);
  await until("peers", () => Promise.resolve(know(buses)));
  return {
    buses,
    elapse: Bun.sleep,
    async kill(at) {
      nodes[at]?.kill();
      const left = buses.filter((_, index) => index !== at);
      await until("a death", () => Promise.resolve(know(left)));
    },
    async close() {
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}
