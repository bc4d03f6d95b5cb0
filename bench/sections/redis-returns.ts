/**
 * What it takes to come back, with engine redis: a node that was cut off from Redis fills its holes, and the clients of a killed node ask for what they
 * missed. The simulation's figures for the same stand beside.
 */
import { startBalancer } from "../../packages/server/test/support/balancer.ts";
import { type Bench, median } from "../bench.ts";
import { type Redis, startNode, startRedis } from "../redis.ts";
import { API_KEY, type LongwireServer, userToken } from "../servers.ts";
import { HOLE, simulateHole } from "../simulate/hole.ts";
import { simulateStorm, STORM } from "../simulate/storm.ts";
import { StormClients } from "../storm-clients.ts";
import { processTree, threadSeconds } from "../usage.ts";

/** `BENCH_STORM_CLIENTS` is for a look at whether this works. */
const CLIENTS = Number(process.env["BENCH_STORM_CLIENTS"] ?? 4000);
const CHANNELS = CLIENTS / 4;
const MISSED = 10;
const SETTLE_MS = 1500;
const BATCH = 1000;
const CUT_MS = 5000;

interface Taken {
  readonly seconds: number;
  readonly redisSeconds: number;
  readonly redisCommands: number;
  readonly redisBytes: number;
  readonly nodeSeconds: number;
  readonly amiss: number;
}

interface Hole extends Taken {
  readonly cutMs: number;
}

export async function runRedisReturns(bench: Bench): Promise<void> {
  const holes: Hole[] = [];
  const storms: (Taken & { readonly half: number; readonly late: number })[] = [];
  for (let round = 1; round <= bench.options.rounds; round++) {
    bench.report.say(`redis, coming back, round ${round} of ${bench.options.rounds}`);
    holes.push(await measureHole(bench));
    storms.push(await measureStorm(bench));
  }
  sayHole(bench, holes);
  sayStorm(bench, storms);
  bench.report.target({
    id: "redis",
    what: "lost, doubled or not recovered after a cut and after a kill",
    measured: Math.max(...[...holes, ...storms].map(({ amiss }) => amiss)),
    limit: 0,
    good: "at most",
    unit: "",
  });
}

function clientsOf(bench: Bench, node: LongwireServer): Promise<StormClients> {
  const tokens = Array.from({ length: CLIENTS }, (_, number) => userToken(`user-${number}`));
  return StormClients.connect(bench, { port: node.port, tokens, channels: CHANNELS });
}

async function publishAll(node: LongwireServer): Promise<void> {
  for (let first = 0; first < MISSED * CHANNELS; first += BATCH) {
    const publications = Array.from({ length: Math.min(BATCH, MISSED * CHANNELS - first) }, (_, number) => ({
      channel: `storm-${(first + number) % CHANNELS}`,
      data: { number, text: "x".repeat(HOLE.dataBytes - 30) },
    }));
    const response = await fetch(`http://127.0.0.1:${node.port}/api/batch`, {
      method: "POST",
      headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
      body: JSON.stringify({ publications }),
    });
    const text = await response.text();
    if (response.status !== 200 || text.includes('"error"'))
      throw new Error(`${response.status}: ${text.slice(0, 200)}`);
  }
}

/** What Redis and a node take while something is done. */
async function measured(
  redis: Redis,
  nodePid: number,
  work: () => Promise<{ seconds: number; amiss: number }>,
): Promise<Taken> {
  const pids = { redis: processTree(redis.child.pid), node: processTree(nodePid) };
  const before = { redis: threadSeconds(pids.redis), node: threadSeconds(pids.node), figures: await redis.figures() };
  const { seconds, amiss } = await work();
  const after = await redis.figures();
  return {
    seconds,
    amiss,
    redisSeconds: threadSeconds(pids.redis) - before.redis,
    nodeSeconds: threadSeconds(pids.node) - before.node,
    redisCommands: after.commands - before.figures.commands,
    redisBytes: after.outputBytes - before.figures.outputBytes,
  };
}

async function measureHole(bench: Bench): Promise<Hole> {
  const redis = await startRedis(bench);
  let way = await startBalancer([redis.port]);
  const { port } = way;
  const cutOff = await startNode(bench, port);
  const publisher = await startNode(bench, redis.port);
  const clients = await clientsOf(bench, cutOff);
  await Bun.sleep(SETTLE_MS);
  await way.stop();
  const cutAt = performance.now();
  await publishAll(publisher);
  await clients.expect(MISSED);
  await Bun.sleep(Math.max(0, CUT_MS - (performance.now() - cutAt)));
  const taken = await measured(redis, cutOff.child.pid, async () => {
    way = await startBalancer([redis.port], port);
    const begun = performance.now();
    await clients.release();
    await clients.back();
    const seconds = (performance.now() - begun) / 1000;
    const { repeats, gaps, lost } = await clients.report();
    return { seconds, amiss: repeats + gaps + lost };
  });
  await clients.stop();
  for (const { child } of [cutOff, publisher]) await bench.children.stop(child);
  await way.stop();
  await bench.children.stop(redis.child);
  return { ...taken, cutMs: CUT_MS };
}

async function measureStorm(bench: Bench): Promise<Taken & { half: number; late: number }> {
  const redis = await startRedis(bench);
  const dying = await startNode(bench, redis.port);
  const publisher = await startNode(bench, redis.port);
  const clients = await clientsOf(bench, dying);
  await clients.hold();
  dying.child.killNow();
  await bench.children.stop(dying.child);
  await publishAll(publisher);
  const next = await startNode(bench, redis.port, dying.place);
  await Bun.sleep(SETTLE_MS);
  await clients.expect(MISSED);
  const times = { half: 0, late: 0 };
  const taken = await measured(redis, next.child.pid, async () => {
    await clients.release();
    const back = await clients.back();
    times.half = back.p50Us / 1e6;
    times.late = back.p99Us / 1e6;
    return { seconds: back.seconds, amiss: back.repeats + back.gaps + back.unrecovered };
  });
  await clients.stop();
  for (const { child } of [next, publisher, redis]) await bench.children.stop(child);
  return { ...taken, ...times };
}

function sayHole(bench: Bench, found: readonly Hole[]): void {
  const of = (value: (hole: Hole) => number): number => median(found.map(value));
  const cutMs = of((hole) => hole.cutMs);
  const load = { publicationsPerSecond: MISSED / (cutMs / 1000), cutMs, historySize: 100 };
  const shape = { channelsPerNode: CHANNELS, subscribersPerChannel: CLIENTS / CHANNELS, followers: 2, nodes: 2 };
  const simulated = simulateHole({ ...HOLE, ...shape, ...load }, 1);
  const seconds = of((taken) => taken.seconds);
  bench.report.table(`Redis: a node cut off while ${MISSED} publications went to each of ${CHANNELS} channels`, [
    {
      "all whole s": seconds,
      "simulated s": simulated.allWholeMs / 1000,
      "x simulated": (seconds * 1000) / simulated.allWholeMs,
      "Redis commands": of(({ redisCommands }) => redisCommands),
      "reads simulated": simulated.reads,
      "Redis MB": of(({ redisBytes }) => redisBytes) / 1e6,
      "simulated MB": simulated.bytes / 1e6,
      "Redis CPU us a channel": (of(({ redisSeconds }) => redisSeconds) * 1e6) / CHANNELS,
      "node CPU us a channel": (of(({ nodeSeconds }) => nodeSeconds) * 1e6) / CHANNELS,
    },
  ]);
}

function sayStorm(bench: Bench, found: readonly (Taken & { half: number; late: number })[]): void {
  const of = (value: (taken: (typeof found)[number]) => number): number => median(found.map(value));
  const load = { channelsPerClient: 1, missedPerChannel: MISSED, restartMs: 0, background: 0, clientRoundTripMs: 0.1 };
  const simulated = simulateStorm({ ...STORM, ...load, died: "all", engine: "redis", clientsPerNode: CLIENTS }, 1);
  bench.report.table(`Redis: ${CLIENTS} clients of a killed node come back, each missed ${MISSED} publications`, [
    {
      "half back s": of(({ half }) => half),
      "simulated s": simulated.halfBackMs / 1000,
      "99 % back s": of(({ late }) => late),
      "simulated 99 % s": simulated.p99BackMs / 1000,
      "x simulated (99 %)": (of(({ late }) => late) * 1000) / simulated.p99BackMs,
      "Redis commands a client": of(({ redisCommands }) => redisCommands) / CLIENTS,
      "Redis CPU us a client": (of(({ redisSeconds }) => redisSeconds) * 1e6) / CLIENTS,
      "node CPU us a client": (of(({ nodeSeconds }) => nodeSeconds) * 1e6) / CLIENTS,
    },
  ]);
}
