/**
 * A Redis Cluster of three masters with a replica each:
 *
 *     const cluster = await startRedisCluster();
 *     openEngine({ redisMode: "cluster", redisUrls: cluster.urls });
 *     const slot = await cluster.slotOf("{a}");
 *     await cluster.killMaster(await cluster.masterOf(slot));   // resolves when its replica has taken over
 *     await cluster.migrateSlot(slot, other);                   // to another master, key by key
 *     await cluster.reshard(100);                               // some slots of the first master to the last
 *     await cluster.heal();                                     // starts the dead ones again
 *     await cluster.stop();
 */
import { type RedisOptions, type RedisServer, startRedis } from "./redis-server.ts";
import { until } from "./redis-wait.ts";
import { freePort } from "./free-port.ts";

const MASTERS = 3;
const NODE_TIMEOUT_MS = 1500;
const SLOTS = 16_384;

export interface RedisCluster {
  readonly urls: readonly string[];
  readonly servers: readonly RedisServer[];
  /** The masters that live, in the order of their first slots. */
  masters(): Promise<RedisServer[]>;
  slotOf(key: string): Promise<number>;
  masterOf(slot: number): Promise<RedisServer>;
  /** A command where the key is. */
  cli(...command: readonly string[]): Promise<string>;
  /** The first one unless told which; resolves when its replica has taken over. It stays dead until `heal`. */
  killMaster(which?: RedisServer): Promise<void>;
  /** In order, without a death: the replica of a master takes its place. */
  failover(which?: RedisServer): Promise<void>;
  migrateSlot(slot: number, to: RedisServer): Promise<void>;
  /** Moves so many slots from the first master to the last. */
  reshard(count: number): Promise<void>;
  heal(): Promise<void>;
  stop(): Promise<void>;
}

interface Member {
  readonly id: string;
  readonly server: RedisServer;
  readonly isMaster: boolean;
  readonly master: string;
  readonly slots: readonly (readonly [number, number])[];
}

export async function startRedisCluster(options: Omit<RedisOptions, "tls"> = {}): Promise<RedisCluster> {
  const servers: RedisServer[] = [];
  const stop = async (): Promise<void> => void (await Promise.all(servers.map((server) => server.stop())));
  try {
    for (let n = 0; n < 2 * MASTERS; n++) servers.push(await startMember(options));
    const addresses = servers.map(({ port }) => `127.0.0.1:${port}`);
    await servers[0]?.cli("--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes");
    const cluster = clusterOf(servers, stop);
    await healthy(servers);
    return cluster;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The members' own port is another one by default, which may be taken, or too high a number. */
function startMember(options: Omit<RedisOptions, "tls">): Promise<RedisServer> {
  const config = [
    "cluster-enabled yes",
    `cluster-port ${freePort()}`,
    `cluster-node-timeout ${NODE_TIMEOUT_MS}`,
    // Replicas take over at once, however long they had not heard of the master.
    "cluster-replica-validity-factor 0",
    ...(options.config ?? []),
  ];
  return startRedis({ ...options, config });
}

function clusterOf(servers: readonly RedisServer[], stop: () => Promise<void>): RedisCluster {
  const members = (): Promise<Member[]> => membersOf(servers);
  const memberOf = async (server: RedisServer): Promise<Member> =>
    found(await members(), (one) => one.server === server);
  const masters = async (): Promise<Member[]> =>
    (await members())
      .filter(({ isMaster, server, slots }) => isMaster && server.isRunning && slots.length > 0)
      .toSorted((a, b) => (a.slots[0]?.[0] ?? 0) - (b.slots[0]?.[0] ?? 0));
  const masterOf = async (slot: number): Promise<Member> =>
    found(await masters(), ({ slots }) => slots.some(([from, to]) => from <= slot && slot <= to));

  const cluster: RedisCluster = {
    urls: servers.map(({ url }) => url),
    servers,
    stop,
    masters: async () => (await masters()).map(({ server }) => server),
    slotOf: async (key) => Number(await living(servers).cli("CLUSTER", "KEYSLOT", key)),
    masterOf: async (slot) => (await masterOf(slot)).server,
    cli: (...command) => living(servers).cli("-c", ...command),
    async killMaster(which) {
      const before = which === undefined ? found(await masters(), () => true) : await memberOf(which);
      const [slot] = before.slots[0] ?? [0];
      await before.server.kill();
      await until("the replica to take over", async () => {
        const now = await masterOf(slot).catch(() => undefined);
        return now !== undefined && now.id !== before.id;
      });
      await healthy(servers);
    },
    async failover(which) {
      const before = which === undefined ? found(await masters(), () => true) : await memberOf(which);
      const replica = found(await members(), ({ master, server }) => master === before.id && server.isRunning);
      await replica.server.cli("CLUSTER", "FAILOVER");
      await until("the replica to take over", async () => (await memberOf(replica.server)).isMaster);
      await healthy(servers);
    },
    async migrateSlot(slot, to) {
      const [source, target] = [await masterOf(slot), await memberOf(to)];
      await migrate(slot, source, target, await masters());
    },
    async reshard(count) {
      const all = await masters();
      const [first, last] = [found(all, () => true), found(all.toReversed(), () => true)];
      const wish = ["--cluster-from", first.id, "--cluster-to", last.id, "--cluster-slots", String(count)];
      await living(servers).cli("--cluster", "reshard", `127.0.0.1:${first.server.port}`, ...wish, "--cluster-yes");
      await healthy(servers);
    },
    async heal() {
      for (const server of servers) {
        if (server.isRunning) server.continue();
        else await server.start();
      }
      await healthy(servers);
    },
  };
  return cluster;
}

/** As `redis-cli --cluster reshard` does it, for one slot that is named. */
async function migrate(slot: number, source: Member, target: Member, masters: readonly Member[]): Promise<void> {
  if (source.id === target.id) return;
  const name = String(slot);
  await target.server.cli("CLUSTER", "SETSLOT", name, "IMPORTING", source.id);
  await source.server.cli("CLUSTER", "SETSLOT", name, "MIGRATING", target.id);
  for (;;) {
    const keys = (await source.server.cli("CLUSTER", "GETKEYSINSLOT", name, "10"))
      .split("\n")
      .filter((key) => key !== "");
    if (keys.length === 0) break;
    await source.server.cli("MIGRATE", "127.0.0.1", String(target.server.port), "", "0", "5000", "KEYS", ...keys);
  }
  // The new owner first: whoever asks the old one in between is sent there.
  for (const { server } of [target, source, ...masters.filter(({ id }) => id !== target.id && id !== source.id)]) {
    await server.cli("CLUSTER", "SETSLOT", name, "NODE", target.id);
  }
}

function found<T>(list: readonly T[], like: (one: T) => boolean): T {
  const one = list.find(like);
  if (one === undefined) throw new Error("the cluster has no such member");
  return one;
}

function living(servers: readonly RedisServer[]): RedisServer {
  return found(servers, ({ isRunning }) => isRunning);
}

async function membersOf(servers: readonly RedisServer[], from = living(servers)): Promise<Member[]> {
  const members: Member[] = [];
  for (const line of (await from.cli("CLUSTER", "NODES")).split("\n")) {
    const [id = "", address = "", flags = "", master = "", , , , , ...slots] = line.split(" ");
    const server = servers.find(({ port }) => address.startsWith(`127.0.0.1:${port}@`));
    if (server === undefined) continue;
    const ranges = slots
      .filter((range) => !range.startsWith("["))
      .map((range) => [Number(range.split("-")[0]), Number(range.split("-").at(-1))] as const);
    members.push({ id, server, isMaster: flags.includes("master") && !flags.includes("fail"), master, slots: ranges });
  }
  return members;
}

/** Every member that lives sees all slots served, and every replica follows its master. */
async function healthy(servers: readonly RedisServer[]): Promise<void> {
  await until("the cluster to be well", async () => {
    const all = await Promise.all(
      servers.filter(({ isRunning }) => isRunning).map((server) => isWell(server, servers)),
    );
    return all.every(Boolean);
  });
}

async function isWell(server: RedisServer, servers: readonly RedisServer[]): Promise<boolean> {
  const info = await server.cli("CLUSTER", "INFO").catch(() => "");
  if (!info.includes("cluster_state:ok") || !info.includes(`cluster_slots_ok:${SLOTS}`)) return false;
  const members = await membersOf(servers, server).catch(() => []);
  if (members.length < servers.length) return false;
  const replication = await server.cli("INFO", "replication").catch(() => "");
  return replication.includes("role:master") || replication.includes("master_link_status:up");
}
