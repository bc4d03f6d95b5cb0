/**
 * A reconnect storm: nodes die, and their clients come back to what is left, each as the SDK does: after a random part of its backoff, which doubles
 * with each attempt that fails. Every client has missed something in each of its channels and asks for it.
 */
import { type Backoff, backoffMs } from "../../packages/client/src/backoff.ts";
import { Agenda } from "./agenda.ts";
import { Chance } from "./chance.ts";
import { MACHINE, NODE, REDIS } from "./costs.ts";
import { Gate } from "./gate.ts";
import { busiestOf, Station } from "./station.ts";

export interface Storm {
  readonly nodes: number;
  readonly clientsPerNode: number;
  readonly channelsPerClient: number;
  readonly missedPerChannel: number;
  /** `one`: a node dies, and its clients go to the others. `all`: every node is started anew, or the balancer has dropped everybody. */
  readonly died: "one" | "all";
  /** Until what has died takes connections again. */
  readonly restartMs: number;
  readonly engine: "sqlite" | "redis";
  /** Masters of a Redis Cluster, with the channels spread evenly over them; 1 without one. */
  readonly masters: number;
  /** Share of each core, and of Redis, that ordinary work takes meanwhile. */
  readonly background: number;
  readonly handshakesPerSecond: number;
  readonly backoff: Backoff;
  readonly connectUs: number;
  /** From a client to a node and back. */
  readonly clientRoundTripMs: number;
}

export interface StormFigures {
  readonly clients: number;
  readonly attempts: number;
  /** Of the fullest second, over all nodes. */
  readonly connectsPerSecondMax: number;
  readonly turnedAway: number;
  readonly unanswered: number;
  readonly acceptQueueMax: number;
  readonly nodePeakShare: number;
  readonly redisPeakShare: number;
  readonly halfBackMs: number;
  readonly p99BackMs: number;
  readonly allBackMs: number;
  readonly breaksFirst: string;
  /** How long that was full. */
  readonly breaksForSeconds: number;
}

/** Where all nodes are alike and die together, more than these need not be simulated: each stands for several. */
const NODES_SIMULATED_MAX = 8;

export const STORM: Storm = {
  nodes: 1,
  clientsPerNode: 20_000,
  channelsPerClient: 6,
  missedPerChannel: 10,
  died: "one",
  restartMs: 1000,
  engine: "redis",
  masters: 1,
  background: 0.3,
  handshakesPerSecond: 20_000,
  backoff: { minMs: 1000, maxMs: 30_000, factor: 2 },
  connectUs: NODE.connectUs,
  clientRoundTripMs: 50,
};

interface World {
  readonly storm: Storm;
  readonly agenda: Agenda;
  readonly chance: Chance;
  readonly redis: Station;
  readonly gates: readonly { readonly core: Station; readonly gate: Gate }[];
  /** How many nodes each simulated one stands for. */
  readonly weight: number;
  readonly backAtMs: number[];
  readonly connectsBySecond: number[];
  attempts: number;
}

export function simulateStorm(storm: Storm, seed: number): StormFigures {
  const world = worldOf(storm, seed);
  const { agenda, gates, chance } = world;
  const alone = storm.died === "all" || storm.nodes === 1;
  if (alone) {
    for (const { gate } of gates) gate.isOpen = false;
    agenda.at(storm.restartMs, () => {
      for (const { gate } of gates) gate.isOpen = true;
    });
  }
  const clients = storm.died === "all" ? gates.length * storm.clientsPerNode : storm.clientsPerNode;
  for (let client = 0; client < clients; client++) {
    // The kernel of the dead one says so at once; the news takes as long as the way is.
    agenda.at(chance.share() * storm.clientRoundTripMs, () => comeBack(world, 1));
  }
  agenda.run();
  return figuresOf(world, clients);
}

function worldOf(storm: Storm, seed: number): World {
  const agenda = new Agenda();
  const alive = storm.died === "all" || storm.nodes === 1 ? storm.nodes : storm.nodes - 1;
  const simulated = storm.died === "all" ? Math.min(alive, NODES_SIMULATED_MAX) : alive;
  const gates = Array.from({ length: simulated }, (_, at) => {
    const core = new Station(`node ${at + 1}`, agenda, { background: storm.background });
    return { core, gate: new Gate(agenda, core, storm.handshakesPerSecond) };
  });
  return {
    storm,
    agenda,
    chance: new Chance(seed),
    redis: new Station("Redis", agenda, { background: storm.background, wakeUs: REDIS.wakeUs }),
    gates,
    weight: alive / simulated,
    backAtMs: [],
    connectsBySecond: [],
    attempts: 0,
  };
}

function comeBack(world: World, attempt: number): void {
  const { storm, agenda, chance } = world;
  const waitMs = backoffMs({ backoff: storm.backoff, jitter: "full", random: () => chance.share() }, attempt);
  agenda.after(waitMs, () => knock(world, attempt));
}

function knock(world: World, attempt: number): void {
  const { storm, agenda, gates, chance, connectsBySecond } = world;
  world.attempts++;
  const second = Math.floor(agenda.nowMs / 1000);
  connectsBySecond[second] = (connectsBySecond[second] ?? 0) + 1;
  const node = gates[chance.below(gates.length)];
  if (node === undefined) throw new Error("there is no node");
  agenda.after(storm.clientRoundTripMs / 2, () =>
    node.gate.knock({
      handshakeUs: storm.connectUs + (storm.channelsPerClient - 1) * NODE.subscribeUs,
      entered: () => catchUp(world, node.core),
      turnedAway: () => comeBack(world, attempt + 1),
    }),
  );
}

/** What it missed is read (from Redis, or in the process itself) and sent. */
function catchUp(world: World, core: Station): void {
  const { storm, agenda, redis, weight, backAtMs } = world;
  const replayUs = storm.channelsPerClient * storm.missedPerChannel * NODE.replayUs;
  const replay = (): void => {
    core.serve(replayUs, () => backAtMs.push(agenda.nowMs + storm.clientRoundTripMs / 2));
  };
  if (storm.engine === "sqlite") {
    replay();
    return;
  }
  const readUs = REDIS.historyUs + storm.missedPerChannel * REDIS.historyEntryUs;
  const redisUs = REDIS.sessionUs + storm.channelsPerClient * readUs;
  redis.serve((redisUs * weight) / storm.masters, () => agenda.after(MACHINE.roundTripMs, replay));
}

function figuresOf(world: World, clients: number): StormFigures {
  const { gates, redis, weight, backAtMs, connectsBySecond, attempts } = world;
  const back = backAtMs.toSorted((a, b) => a - b);
  const at = (share: number): number => back[Math.ceil(clients * share) - 1] ?? Infinity;
  const sum = (value: (gate: Gate) => number): number => gates.reduce((total, { gate }) => total + value(gate), 0);
  const busiest = busiestOf([...gates.map(({ core }) => core), redis]);
  return {
    clients: clients * weight,
    attempts: attempts * weight,
    connectsPerSecondMax: Math.max(...connectsBySecond.values().map((count) => count ?? 0)) * weight,
    turnedAway: sum(({ turnedAway }) => turnedAway) * weight,
    unanswered: sum(({ unanswered }) => unanswered) * weight,
    acceptQueueMax: Math.max(...gates.map(({ gate }) => gate.longestQueue)),
    nodePeakShare: Math.max(...gates.map(({ core }) => core.peakShare)),
    redisPeakShare: world.storm.engine === "redis" ? redis.peakShare : 0,
    halfBackMs: at(0.5),
    p99BackMs: at(0.99),
    allBackMs: at(1),
    breaksFirst: wordFor(busiest),
    breaksForSeconds: busiest?.saturatedSeconds ?? 0,
  };
}

function wordFor(station: Station | undefined): string {
  if (station === undefined || station.saturatedSeconds === 0) return "nothing";
  const name = station.name === "Redis" ? "Redis" : "a core of the nodes";
  return `${name}: full for ${station.saturatedSeconds} s`;
}
