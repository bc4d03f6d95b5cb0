/** The storms: what is broken, on which system, and whether that may cost data. */
import type { Random } from "@longwire/protocol/test/random";
import { MAIN } from "longwire/test/server";
import type { ServerProcess } from "longwire/test/server-process";
import { workersOf } from "longwire/test/workers";
import { until } from "../support/wait.ts";
import type { System, SystemName, SystemOptions } from "./systems.ts";

export interface Scenario {
  readonly name: string;
  readonly system: SystemName;
  readonly options?: SystemOptions;
  /**
   * Whether acknowledged publications may be gone with what is broken. `always`: if none is, the storm was none.
   */
  readonly loses: "never" | "perhaps" | "always";
  /** Publishes have to be refused in between. */
  readonly refuses?: true;
  /** How often, in a short run and in a full one. 0: not in a short run. */
  readonly times: readonly [number, number];
  /** Breaks something and, unless it heals by itself, mends it as far as the promise goes by it. */
  strike(system: System, random: Random): Promise<void>;
  /** Starts what has died, before the next strike. */
  mend?(system: System): Promise<void>;
}

const STOPPED_MS = 10_000;
/** Others take a node for dead after 12 s. */
const FENCED_MS = 16_000;
const AWAY_MS = 2000;

function needed<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("the storm needs what its system does not have");
  return part;
}

async function startAgain(node: ServerProcess): Promise<void> {
  await node.exited;
  // Who was killed may leave the port and the lock to children of its own for a moment.
  await until("it has started again", () =>
    node.start().then(
      () => true,
      () => false,
    ),
  );
}

function signal(pid: number, name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone, for instance because its supervisor has not heard of it for too long.
  }
}

const WORKERS: readonly Scenario[] = [
  {
    name: "a worker killed",
    system: "workers",
    loses: "never",
    times: [3, 15],
    async strike({ nodes: [server] }, random) {
      const before = workersOf(needed(server));
      signal(random.pick(before), "SIGKILL");
      await until("it is replaced", () => workersOf(needed(server)).some((pid) => !before.includes(pid)));
    },
  },
  {
    name: "a worker stopped for 10 s",
    system: "workers",
    loses: "never",
    times: [1, 3],
    async strike({ nodes: [server] }, random) {
      const worker = random.pick(workersOf(needed(server)));
      signal(worker, "SIGSTOP");
      await Bun.sleep(STOPPED_MS);
      signal(worker, "SIGCONT");
    },
  },
  {
    name: "workers replaced by `longwire reload`",
    system: "workers",
    loses: "never",
    times: [2, 8],
    async strike({ nodes: [server] }) {
      const { dataDir } = needed(server);
      const command = [process.execPath, MAIN, "reload", `--data-dir=${dataDir}`];
      const child = Bun.spawn(command, {
        cwd: dataDir,
        stdout: "pipe",
        stderr: "pipe",
        env: { PATH: process.env["PATH"] },
      });
      if ((await child.exited) !== 0) throw new Error(`longwire reload: ${await new Response(child.stderr).text()}`);
    },
  },
  {
    name: "the whole server killed",
    system: "workers",
    loses: "never",
    times: [2, 10],
    async strike({ nodes: [server] }) {
      needed(server).kill("SIGKILL");
      await startAgain(needed(server));
    },
  },
];

const NODES: readonly Scenario[] = [
  {
    name: "a node killed",
    system: "redis",
    loses: "never",
    times: [2, 10],
    async strike({ nodes }, random) {
      const node = random.pick(nodes);
      node.kill("SIGKILL");
      await Bun.sleep(random.below(AWAY_MS));
      await startAgain(node);
    },
  },
  {
    name: "a node stopped for 10 s",
    system: "redis",
    loses: "never",
    times: [1, 3],
    strike: ({ nodes }, random) => stopFor(random.pick(nodes), STOPPED_MS),
  },
  {
    name: "a node stopped for so long that others take it for dead",
    system: "redis",
    loses: "never",
    times: [0, 2],
    strike: ({ nodes }, random) => stopFor(random.pick(nodes), FENCED_MS),
  },
  {
    name: "nodes restarted one after the other",
    system: "redis",
    loses: "never",
    times: [1, 3],
    async strike({ nodes }) {
      for (const node of nodes) {
        node.kill("SIGTERM");
        await startAgain(node);
      }
    },
  },
  {
    name: "connections dropped by the balancer",
    system: "redis",
    loses: "never",
    times: [12, 40],
    async strike({ balancers }, random) {
      for (const balancer of balancers) balancer.cut(0.1, () => random.below(1000) / 1000);
      await Bun.sleep(200);
    },
  },
];

async function stopFor(node: ServerProcess, ms: number): Promise<void> {
  node.kill("SIGSTOP");
  await Bun.sleep(ms);
  node.kill("SIGCONT");
}

const REDIS: readonly Scenario[] = [
  {
    name: "Redis killed, each write on its disk",
    system: "redis",
    options: { appendonly: "always" },
    loses: "never",
    refuses: true,
    times: [2, 8],
    strike: ({ redis }) => needed(redis).restart({ downMs: AWAY_MS }),
  },
  {
    name: "Redis killed, on its disk every second",
    system: "redis",
    options: { appendonly: "everysec" },
    loses: "perhaps",
    refuses: true,
    times: [0, 8],
    strike: ({ redis }) => needed(redis).restart({ downMs: AWAY_MS }),
  },
  {
    name: "Redis restarted without its data",
    system: "redis",
    loses: "always",
    refuses: true,
    times: [1, 5],
    strike: ({ redis }) => needed(redis).restart({ keepData: false, downMs: AWAY_MS }),
  },
  {
    name: "Redis stopped for 10 s",
    system: "redis",
    loses: "never",
    refuses: true,
    times: [1, 3],
    async strike({ redis }) {
      needed(redis).pause();
      await Bun.sleep(STOPPED_MS);
      needed(redis).continue();
    },
  },
  {
    name: "the cable between a node and Redis cut for 8 s",
    system: "redis",
    options: { way: "cable" },
    loses: "never",
    times: [1, 4],
    strike: ({ cable }) => cutFor(needed(cable), 8000),
  },
  {
    name: "the cable cut for so long that others take the node for dead",
    system: "redis",
    options: { way: "cable" },
    loses: "never",
    times: [0, 2],
    strike: ({ cable }) => cutFor(needed(cable), FENCED_MS),
  },
  {
    name: "the way between a node and Redis slow, then shut",
    system: "redis",
    options: { way: "proxy" },
    loses: "never",
    times: [1, 4],
    async strike({ proxy }) {
      needed(proxy).delay(300);
      await Bun.sleep(2000);
      needed(proxy).stall();
      await Bun.sleep(3000);
      needed(proxy).flow();
    },
  },
];

async function cutFor(cable: NonNullable<System["cable"]>, ms: number): Promise<void> {
  cable.cut();
  await Bun.sleep(ms);
  cable.mend();
}

const REPLICATED: readonly Scenario[] = [
  {
    name: "Sentinel: another master asked for",
    system: "sentinel",
    loses: "perhaps",
    times: [1, 3],
    strike: ({ sentinels }) => needed(sentinels).failover(),
    mend: ({ sentinels }) => needed(sentinels).heal(),
  },
  {
    name: "Sentinel: the master killed",
    system: "sentinel",
    loses: "perhaps",
    refuses: true,
    times: [1, 3],
    strike: async ({ sentinels }) => void (await needed(sentinels).killMaster()),
    mend: ({ sentinels }) => needed(sentinels).heal(),
  },
  {
    name: "Sentinel: the master killed with writes that no replica has",
    system: "sentinel",
    loses: "always",
    refuses: true,
    times: [1, 3],
    strike: ({ sentinels }) => needed(sentinels).loseWrites(() => Bun.sleep(500)),
    mend: ({ sentinels }) => needed(sentinels).heal(),
  },
  {
    name: "Sentinel: the master cut off, and another elected",
    system: "sentinel",
    loses: "perhaps",
    times: [0, 3],
    strike: ({ sentinels }) => needed(sentinels).partitionMaster(),
    mend: ({ sentinels }) => needed(sentinels).heal(),
  },
  {
    name: "Cluster: a master killed",
    system: "cluster",
    loses: "perhaps",
    refuses: true,
    times: [1, 4],
    async strike({ cluster }, random) {
      await needed(cluster).killMaster(random.pick(await needed(cluster).masters()));
    },
    mend: ({ cluster }) => needed(cluster).heal(),
  },
  {
    name: "Cluster: a replica asked to take over",
    system: "cluster",
    loses: "never",
    times: [0, 4],
    async strike({ cluster }, random) {
      await needed(cluster).failover(random.pick(await needed(cluster).masters()));
    },
  },
  {
    name: "Cluster: slots moved",
    system: "cluster",
    loses: "never",
    times: [1, 4],
    strike: ({ cluster }) => needed(cluster).reshard(500),
  },
];

export const SCENARIOS: readonly Scenario[] = [...WORKERS, ...NODES, ...REDIS, ...REPLICATED];
