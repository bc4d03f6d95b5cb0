/** Redis in the three ways that Longwire knows: one server; a master with two replicas and three Sentinels; a Cluster of three masters and three replicas. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isListening, printed, Program } from "./processes.ts";

export const MODES = ["single", "sentinel", "cluster"] as const;
export type Mode = (typeof MODES)[number];

export interface RedisSetup {
  readonly programs: readonly Program[];
  /** The one that is killed to see what happens then. */
  master(): Promise<Program>;
}

/** As the configuration files name them. */
export const REDIS_PORTS = [6390, 6391, 6392, 6393, 6394, 6395] as const;
const MASTER_NAME = "longwire";
const READY_MS = 20_000;

/** `portOf` answers the port that stands for one of `REDIS_PORTS`. */
export async function startRedis(
  mode: Mode,
  folder: string,
  portOf: (port: number) => number,
  started: (program: Program) => void,
): Promise<RedisSetup> {
  const ports = REDIS_PORTS.map(portOf);
  const start = async (program: string, port: number, lines: readonly string[]): Promise<Program> => {
    const own = join(folder, `redis-${port}`);
    mkdirSync(own);
    // Kept on disk, flushed every second. Nothing is evicted: Longwire would rather refuse a publish than lose one.
    const file = join(own, "redis.conf");
    writeFileSync(file, ["bind 127.0.0.1", `port ${port}`, `dir ${own}`, ...lines, ""].join("\n"));
    const running = new Program(`${program} ${port}`, [program, file], own);
    started(running);
    await running.start(() => isListening(port));
    return running;
  };
  const keeping = [
    "appendonly yes",
    "appendfsync everysec",
    "maxmemory-policy noeviction",
    // A replica that waits five seconds for its first copy, as it would otherwise, may be elected without one.
    "repl-diskless-sync-delay 0",
  ];
  if (mode === "single") {
    const only = await start("redis-server", ports[0] ?? 0, keeping);
    return { programs: [only], master: () => Promise.resolve(only) };
  }
  return mode === "sentinel" ? withSentinels(ports, start, keeping) : asCluster(ports, start, keeping);
}

type Start = (program: string, port: number, lines: readonly string[]) => Promise<Program>;

async function withSentinels(ports: readonly number[], start: Start, keeping: readonly string[]): Promise<RedisSetup> {
  const [first = 0, ...replicas] = ports.slice(0, 3);
  const watchers = ports.slice(3);
  const servers = [await start("redis-server", first, keeping)];
  for (const port of replicas) {
    servers.push(await start("redis-server", port, [...keeping, `replicaof 127.0.0.1 ${first}`]));
  }
  const watching = [
    `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${first} 2`,
    `sentinel down-after-milliseconds ${MASTER_NAME} 2000`,
    `sentinel failover-timeout ${MASTER_NAME} 10000`,
  ];
  const sentinels = await Promise.all(watchers.map((port) => start("redis-sentinel", port, watching)));
  const ask = (...words: string[]): Promise<string> => printed(["redis-cli", "-p", String(watchers[0]), ...words]);
  await until("the Sentinels know each other and the replicas", async () => {
    const lines = (await ask("SENTINEL", "MASTER", MASTER_NAME)).split("\n");
    const field = (name: string): number => Number(lines[lines.indexOf(name) + 1]);
    return field("num-slaves") === replicas.length && field("num-other-sentinels") === watchers.length - 1;
  });
  await Promise.all(replicas.map(copied));
  return {
    programs: [...servers, ...sentinels],
    async master() {
      const [, port] = (await ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)).split("\n");
      return programOn(servers, Number(port));
    },
  };
}

async function asCluster(ports: readonly number[], start: Start, keeping: readonly string[]): Promise<RedisSetup> {
  const member = ["cluster-enabled yes", "cluster-node-timeout 2000", "cluster-config-file nodes.conf"];
  const members = await Promise.all(
    ports.map((port) => start("redis-server", port, [...keeping, ...member, memberPort(port)])),
  );
  const addresses = ports.map((port) => `127.0.0.1:${port}`);
  const cli = (...words: string[]): Promise<string> => printed(["redis-cli", "-p", String(ports[0]), ...words]);
  await cli("--cluster", "create", ...addresses, "--cluster-replicas", "1", "--cluster-yes");
  await until("the Cluster serves all slots and has its replicas", async () => {
    const nodes = await Promise.all(
      ports.map((port) => printed(["redis-cli", "-p", String(port), "CLUSTER", "NODES"])),
    );
    return nodes.every((text) => text.match(/slave .*connected$/gm)?.length === 3 && !text.includes("fail"));
  });
  await Promise.all(ports.map(copied));
  return {
    programs: members,
    async master() {
      const line = (await cli("CLUSTER", "NODES")).split("\n").find((each) => / (myself,)?master - .* 0-/.test(each));
      return programOn(members, Number(/127\.0\.0\.1:(\d+)@/.exec(line ?? "")?.[1]));
    },
  };
}

/** Members talk on a port of their own, by default one that is 10,000 higher; not every port has such a one. */
function memberPort(port: number): string {
  return `cluster-port ${port > 55_000 ? port - 20_000 : port + 10_000}`;
}

function programOn(programs: readonly Program[], port: number): Program {
  const program = programs.find(({ name }) => name.endsWith(` ${port}`));
  if (program === undefined) throw new Error(`no Redis on port ${port}`);
  return program;
}

/** It is a master, or has what its master has. */
function copied(port: number): Promise<void> {
  return until(`the Redis on port ${port} is in step`, async () => {
    const text = await printed(["redis-cli", "-p", String(port), "INFO", "replication"]);
    return text.includes("role:master") || text.includes("master_link_status:up");
  });
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + READY_MS;
  while (!(await condition().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await Bun.sleep(100);
  }
}
