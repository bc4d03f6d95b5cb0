/** Presence, state, leases and the bus on a Redis Cluster. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { nodeBusContract } from "../../../test/contracts/node-bus.ts";
import { presenceContract } from "../../../test/contracts/presence.ts";
import { stateContract } from "../../../test/contracts/state.ts";
import type { OpenEngine } from "../../../test/support/engine.ts";
import { linkSettings, RecordingLog } from "../../../test/support/redis-broker.ts";
import { openRedisBuses } from "../../../test/support/redis-buses.ts";
import { openRedisNode, type RedisNode } from "../../../test/support/redis-engine.ts";
import { until } from "../../../test/support/redis-wait.ts";
import { type RedisCluster, startRedisCluster } from "../../../test/support/redis.ts";
import { systemClock } from "../../base/clock.ts";
import { connectRedisEngine } from "./engine.ts";
import { tagNumber, TAGS } from "./keys.ts";

const SLOW_MS = 60_000;
const ROOMS = 60;

let cluster: RedisCluster;
let opened = 0;
let nodes: RedisNode[] = [];

beforeAll(async () => {
  cluster = await startRedisCluster();
}, SLOW_MS);

afterAll(() => cluster.stop());

afterEach(async () => {
  await Promise.all(nodes.map((node) => node.close()));
  nodes = [];
});

const open: OpenEngine = async (settings, sink) => {
  const { ca: _, ...link } = linkSettings({ mode: "cluster", urls: cluster.urls, prefix: `contract${opened++}` });
  const connected = await connectRedisEngine({ ...link, caFile: undefined }, systemClock, new RecordingLog());
  return connected.open(settings, sink);
};

presenceContract("redis cluster", open);
stateContract("redis cluster", open, "its own");
nodeBusContract("redis cluster", (answerings) =>
  openRedisBuses({ mode: "cluster", urls: cluster.urls, prefix: `bus${opened++}` }, answerings),
);

async function openNodes(): Promise<[RedisNode, RedisNode]> {
  const options = { mode: "cluster", urls: cluster.urls, prefix: `peers${opened++}` } as const;
  const [a, b] = [await openRedisNode(options), await openRedisNode(options)];
  nodes = [a, b];
  await until("peers", () => Promise.resolve(nodes.every(({ engine }) => engine.bus.peers().length === 1)));
  return [a, b];
}

async function roomsOf({ engine }: RedisNode): Promise<number[]> {
  const counts = Array.from({ length: ROOMS }, (_, n) =>
    engine.presence.count(`r${n}`).then(({ sessions }) => sessions),
  );
  return await Promise.all(counts).catch(() => []);
}

/** Some of the rooms', and that of the leases. */
async function moveSlots(): Promise<void> {
  const to = (await cluster.masters()).at(-1);
  if (to === undefined) throw new Error("there is no master");
  const tags = Array.from({ length: TAGS }, (_, tag) => tagNumber(tag));
  let left = 12;
  for (const tag of ["peers", ...tags]) {
    const slot = await cluster.slotOf(`{${tag}}`);
    if (left === 0) return;
    if ((await cluster.masterOf(slot)) === to) continue;
    await cluster.migrateSlot(slot, to);
    left--;
  }
}

/** Its clock stands still, so it does not come back when its ways are cut; the others do. One that could still hear would go on as somebody else. */
async function die(node: RedisNode): Promise<void> {
  node.kill();
  for (const server of await cluster.masters()) {
    for (const type of ["normal", "pubsub"]) await server.cli("CLIENT", "KILL", "TYPE", type, "SKIPME", "yes");
  }
}

const all = (count: number): string => JSON.stringify(Array.from({ length: ROOMS }, () => count));

describe("a Cluster", () => {
  test(
    "[RD-8] the rooms of a dead process, on all masters, are empty",
    async () => {
      const [a, b] = await openNodes();
      await Promise.all(Array.from({ length: ROOMS }, (_, n) => b.engine.presence.put(`r${n}`, { session: `s${n}` })));
      expect(JSON.stringify(await roomsOf(a))).toBe(all(1));
      await die(b);
      await until("the end", async () => JSON.stringify(await roomsOf(a)) === all(0));
      expect(a.engine.bus.peers()).toEqual([]);
    },
    SLOW_MS,
  );

  test(
    "[RD-11] while slots move who comes is there, and who goes is gone",
    async () => {
      const [a, b] = await openNodes();
      const present = new Set<string>();
      const moving = new AbortController();
      const busy = async (): Promise<void> => {
        for (let n = 0; !moving.signal.aborted; n++) {
          const channel = `r${n % ROOMS}`;
          const session = `s${n}`;
          // Where a slot moves for too long it is refused, and then it is not there.
          await b.engine.presence.put(channel, { session }).then(
            () => present.add(`${channel} ${session}`),
            () => undefined,
          );
          if (n % 3 !== 0) continue;
          await b.engine.presence.drop(channel, session);
          present.delete(`${channel} ${session}`);
        }
      };
      const done = busy();
      await moveSlots();
      moving.abort();
      await done;
      const found = new Set<string>();
      for (let n = 0; n < ROOMS; n++) {
        const { members } = await a.engine.presence.list(`r${n}`, 100_000);
        for (const { session } of members) found.add(`r${n} ${session}`);
      }
      expect(found.size).toBeGreaterThan(ROOMS);
      expect(found.symmetricDifference(present)).toEqual(new Set());
      expect(nodes.map(({ sink }) => sink.fences)).toEqual([0, 0]);
      await b.close();
      expect(JSON.stringify(await roomsOf(a))).toBe(all(0));
    },
    SLOW_MS,
  );

  test(
    "[RD-5] a master that dies takes nobody along: what its replica did not have is put again",
    async () => {
      const [a, b] = await openNodes();
      await Promise.all(Array.from({ length: ROOMS }, (_, n) => b.engine.presence.put(`r${n}`, { session: `s${n}` })));
      await cluster.killMaster();
      await until("all", async () => JSON.stringify(await roomsOf(a)) === all(1));
      await until("peers", () => Promise.resolve(nodes.every(({ engine }) => engine.bus.peers().length === 1)));
      await die(b);
      await until("the end", async () => JSON.stringify(await roomsOf(a)) === all(0));
      expect(a.sink.fences).toBe(0);
      await cluster.heal();
    },
    SLOW_MS,
  );
});
