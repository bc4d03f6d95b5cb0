/**
 * What the storms go over: one server with several workers, or three nodes behind a balancer on a Redis, on Redis with Sentinels, on a Redis
 * Cluster. Everything is started by the run and removed by `stop`.
 */
import { type Network, openNetwork } from "longwire/test/network";
import {
  type RedisCluster,
  type RedisOptions,
  type RedisSentinels,
  type RedisServer,
  startRedis,
  startRedisCluster,
  startSentinel,
} from "longwire/test/redis";
import type { Flags } from "longwire/test/server";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { type CuttingProxy, startProxy } from "../support/cutting-proxy.ts";

const NODES = 3;

export type SystemName = "workers" | "redis" | "sentinel" | "cluster";

export interface SystemOptions {
  readonly appendonly?: RedisOptions["appendonly"];
  /** How the first node reaches Redis: through a proxy that can delay, or over a cable of its own that can be cut. */
  readonly way?: "proxy" | "cable";
}

export interface System {
  /** Where clients and publishers go. */
  readonly url: string;
  readonly tcpPort: number;
  readonly nodes: readonly ServerProcess[];
  /** Before the nodes. */
  readonly balancers: readonly CuttingProxy[];
  readonly redis: RedisServer | undefined;
  readonly sentinels: RedisSentinels | undefined;
  readonly cluster: RedisCluster | undefined;
  /** Between the first node and Redis. */
  readonly proxy: CuttingProxy | undefined;
  readonly cable: { cut(): void; mend(): void } | undefined;
  /** Those that live. */
  redisServers(): readonly RedisServer[];
  stop(): Promise<void>;
}

/** What the promise is measured with: nothing may be gone because of its age or number. */
const FLAGS: Flags = {
  "channels-history-size": "1000000",
  "channels-history-seconds": "3600",
  "recovery-max": "1000000",
  "channels-leave-delay-ms": "1000",
  "log-level": "warn",
};

interface Backing extends Pick<System, "redis" | "sentinels" | "cluster" | "proxy" | "cable" | "redisServers"> {
  /** Of each node. */
  flags(node: number): Flags;
  stop(): Promise<void>;
}

const NO_BACKING = {
  redis: undefined,
  sentinels: undefined,
  cluster: undefined,
  proxy: undefined,
  cable: undefined,
  redisServers: () => [],
};

const running = new Set<{ stop(): Promise<void> }>();

/** Undefined: not possible on this machine. */
export async function startSystem(name: SystemName, options: SystemOptions): Promise<System | undefined> {
  if (name === "workers") return kept(await startWorkers());
  const backing = await startBacking(name, options);
  if (backing === undefined) return undefined;
  // Redis is there, and has to go if it ends before the nodes are.
  const partly = kept(backing);
  const system = kept(await startNodes(backing));
  running.delete(partly);
  return system;
}

/** What a run leaves behind that is ended by a signal. */
export async function stopSystems(): Promise<void> {
  await Promise.all([...running].map((one) => one.stop()));
}

function kept<T extends { stop(): Promise<void> }>(part: T): T {
  const one = {
    ...part,
    async stop(): Promise<void> {
      running.delete(one);
      await part.stop();
    },
  };
  running.add(one);
  return one;
}

async function startWorkers(): Promise<System> {
  const tcpPort = freePort();
  const server = await spawnServer({ ...FLAGS, engine: "sqlite", workers: "2", "tcp-port": String(tcpPort) });
  const { url } = server;
  return { ...NO_BACKING, url, tcpPort, nodes: [server], balancers: [], stop: () => server.remove() };
}

async function startNodes(backing: Backing): Promise<System> {
  const nodes: ServerProcess[] = [];
  const balancers: CuttingProxy[] = [];
  const stop = async (): Promise<void> => {
    for (const balancer of balancers) balancer.stop();
    await Promise.all(nodes.map((node) => node.remove()));
    await backing.stop();
  };
  try {
    const tcp: { hostname: string; port: number }[] = [];
    for (let number = 0; number < NODES; number++) {
      const port = freePort();
      const flags = backing.flags(number);
      nodes.push(await spawnServer({ ...FLAGS, ...flags, workers: "1", "tcp-port": String(port) }));
      tcp.push({ hostname: flags["host"] ?? "127.0.0.1", port });
    }
    const web = nodes.map((node) => new URL(node.url)).map(({ hostname, port }) => ({ hostname, port: Number(port) }));
    const balancer = startProxy(web);
    const tcpBalancer = startProxy(tcp);
    balancers.push(balancer, tcpBalancer);
    return { ...backing, url: balancer.url, tcpPort: tcpBalancer.port, nodes, balancers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startBacking(name: SystemName, options: SystemOptions): Promise<Backing | undefined> {
  const { appendonly } = options;
  const keeping = appendonly === undefined ? {} : { appendonly };
  if (name === "sentinel") return onSentinels(await startSentinel(keeping));
  if (name === "cluster") return onCluster(await startRedisCluster(keeping));
  if (options.way === "cable") return onCable(keeping);
  return onRedis(await startRedis(keeping), options.way === "proxy");
}

function onSentinels(sentinels: RedisSentinels): Backing {
  return {
    ...NO_BACKING,
    sentinels,
    redisServers: () => sentinels.servers.filter(({ isRunning }) => isRunning),
    flags: () => ({
      engine: "redis",
      "redis-mode": "sentinel",
      "redis-urls": sentinels.urls.join(","),
      "redis-master": sentinels.master,
      "redis-password": sentinels.password,
    }),
    stop: () => sentinels.stop(),
  };
}

function onCluster(cluster: RedisCluster): Backing {
  return {
    ...NO_BACKING,
    cluster,
    redisServers: () => cluster.servers.filter(({ isRunning }) => isRunning),
    flags: () => ({ engine: "redis", "redis-mode": "cluster", "redis-urls": cluster.urls.slice(0, 3).join(",") }),
    stop: () => cluster.stop(),
  };
}

function onRedis(redis: RedisServer, isByProxy: boolean): Backing {
  const proxy = isByProxy ? startProxy(redis.port) : undefined;
  return {
    ...NO_BACKING,
    redis,
    proxy,
    redisServers: () => [redis],
    flags: (node) => ({
      engine: "redis",
      "redis-urls": node === 0 && proxy !== undefined ? `redis://127.0.0.1:${proxy.port}` : redis.url,
    }),
    async stop() {
      proxy?.stop();
      await redis.stop();
    },
  };
}

async function onCable(options: RedisOptions): Promise<Backing | undefined> {
  const network = openNetwork();
  if (network === undefined) return undefined;
  try {
    const config = [`bind 127.0.0.1 ${network.server}`, "protected-mode no"];
    return overCable(await startRedis({ ...options, config }), network);
  } catch (error) {
    network.remove();
    throw error;
  }
}

function overCable(redis: RedisServer, network: Network): Backing {
  return {
    ...NO_BACKING,
    redis,
    cable: { cut: () => network.cutOff(redis.port), mend: () => network.plugIn() },
    redisServers: () => [redis],
    flags: (node) => ({
      engine: "redis",
      "redis-urls": node === 0 ? `redis://${network.server}:${redis.port}` : redis.url,
      ...(node === 0 && { host: network.client, network: network.name }),
    }),
    async stop() {
      await redis.stop();
      network.remove();
    },
  };
}
