/**
 * Holes: the way between Redis and one node, or all, was cut for a while, and publications went on. When it is back, each such node subscribes again, asks how
 * far its channels have come, and reads page by page what it missed, while new publications keep coming.
 */
import { Agenda } from "./agenda.ts";
import { Chance } from "./chance.ts";
import { BYTES, deliveryUs, MACHINE, NODE, REDIS } from "./costs.ts";
import { busiestOf, Station } from "./station.ts";

export interface Hole {
  readonly nodes: number;
  /** How many of them were cut off. */
  readonly cut: number;
  readonly cutMs: number;
  readonly channelsPerNode: number;
  /** Local subscribers of a channel on a node that follows it. */
  readonly subscribersPerChannel: number;
  /** Of each channel. */
  readonly publicationsPerSecond: number;
  /** How many nodes follow a channel. */
  readonly followers: number;
  readonly dataBytes: number;
  /** What a channel keeps: beyond it the rest is gone, and clients are told. */
  readonly historySize: number;
  /** Masters of a Redis Cluster, with the channels spread evenly over them; 1 without one. */
  readonly masters: number;
}

export interface HoleFigures {
  readonly channels: number;
  readonly reads: number;
  /** Of the answers. */
  readonly bytes: number;
  readonly publications: number;
  /** Channels of which more was missed than is kept. */
  readonly told: number;
  /** From the return of the way. */
  readonly halfWholeMs: number;
  readonly allWholeMs: number;
  /** What publications take of Redis, hole or not; from 0.9 on the hole is simulated with 0.9. */
  readonly redisShareBefore: number;
  readonly redisPeakShare: number;
  readonly nodePeakShare: number;
  readonly breaksFirst: string;
}

/** A read for a hole: PAGE of core/mending.ts. */
const PAGE = 500;
const PAGE_BYTES = 256 * 1024;
/** Channels asked about in one script (engines/redis/broker-watch.ts). */
const BATCH = 100;
/** When a node that has lost Redis tries again: after 50 ms, then after twice as long, a second at most (engines/redis/link-node.ts). */
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;
const NODES_SIMULATED_MAX = 4;

export const HOLE: Hole = {
  nodes: 1,
  cut: 1,
  cutMs: 10_000,
  channelsPerNode: 5000,
  subscribersPerChannel: 4,
  publicationsPerSecond: 0.05,
  followers: 3,
  dataBytes: 200,
  historySize: 100,
  masters: 1,
};

interface Cut {
  readonly hole: Hole;
  readonly agenda: Agenda;
  readonly chance: Chance;
  readonly redis: Station;
  readonly core: Station;
  readonly network: Station;
  readonly weight: number;
  /** The same for the work of Redis, which its masters share. */
  readonly redisWeight: number;
  readonly wholeAtMs: number[];
  reads: number;
  bytes: number;
  publications: number;
  told: number;
}

export function simulateHole(hole: Hole, seed: number): HoleFigures {
  const agenda = new Agenda();
  const chance = new Chance(seed);
  const simulated = Math.min(hole.cut, NODES_SIMULATED_MAX);
  const weight = hole.cut / simulated;
  const redisWeight = weight / hole.masters;
  const redis = new Station("Redis", agenda, { wakeUs: REDIS.wakeUs, background: Math.min(0.9, redisShare(hole)) });
  const background = Math.min(0.9, nodeShare(hole));
  const cuts = Array.from({ length: simulated }, (_, at): Cut => {
    const core = new Station(`node ${at + 1}`, agenda, { background });
    const network = new Station(`network of node ${at + 1}`, agenda);
    return {
      hole,
      agenda,
      chance,
      redis,
      core,
      network,
      weight,
      redisWeight,
      wholeAtMs: [],
      reads: 0,
      bytes: 0,
      publications: 0,
      told: 0,
    };
  });
  for (const cut of cuts) agenda.at(noticedMs(hole.cutMs), () => comeBack(cut));
  agenda.run();
  return figuresOf(hole, cuts, redis);
}

/** What all publications together take of Redis, hole or not. */
function redisShare({ nodes, channelsPerNode, followers, publicationsPerSecond, masters }: Hole): number {
  const perSecond = publicationsEverywhere({ nodes, channelsPerNode, followers, publicationsPerSecond });
  return (perSecond * (REDIS.publishUs + followersOf(nodes, followers) * REDIS.followerUs)) / 1e6 / masters;
}

function publicationsEverywhere(
  hole: Pick<Hole, "nodes" | "channelsPerNode" | "followers" | "publicationsPerSecond">,
): number {
  return ((hole.nodes * hole.channelsPerNode) / followersOf(hole.nodes, hole.followers)) * hole.publicationsPerSecond;
}

/** A channel cannot be followed by more nodes than there are. */
function followersOf(nodes: number, followers: number): number {
  return Math.min(nodes, followers);
}

function nodeShare({ channelsPerNode, publicationsPerSecond, subscribersPerChannel }: Hole): number {
  const perSecond = channelsPerNode * publicationsPerSecond;
  return (perSecond * (NODE.receiveUs + subscribersPerChannel * deliveryUs(publicationsPerSecond))) / 1e6;
}

/** From the return of the way to the attempt that finds it. */
export function noticedMs(cutMs: number): number {
  let atMs = 0;
  for (let pauseMs = RETRY_MIN_MS; atMs < cutMs; pauseMs = Math.min(2 * pauseMs, RETRY_MAX_MS)) atMs += pauseMs;
  return atMs - cutMs;
}

function comeBack(cut: Cut): void {
  const { hole, agenda, redis, redisWeight } = cut;
  for (let first = 0; first < hole.channelsPerNode; first += BATCH) {
    const count = Math.min(BATCH, hole.channelsPerNode - first);
    redis.serve(count * REDIS.subscribeUs * redisWeight, () => {
      redis.serve(count * REDIS.topUs * redisWeight, () => {
        agenda.after(2 * MACHINE.roundTripMs, () => {
          for (let channel = 0; channel < count; channel++) mend(cut);
        });
      });
    });
  }
}

/** One channel: what it missed until now, page by page, and then whether more came meanwhile. */
function mend(cut: Cut): void {
  const { hole, agenda, chance } = cut;
  const missedMs = hole.cutMs + agenda.nowMs;
  const missed = chance.count((hole.publicationsPerSecond * missedMs) / 1000);
  if (missed > hole.historySize) cut.told++;
  const kept = missed > hole.historySize ? 0 : missed;
  if (missed === 0) cut.wholeAtMs.push(agenda.nowMs);
  else read(cut, kept);
}

function read(cut: Cut, left: number): void {
  const { hole, agenda, redis, network, core, weight, redisWeight } = cut;
  const entryBytes = hole.dataBytes + BYTES.messageOverhead;
  const count = Math.min(left, PAGE, Math.max(1, Math.floor(PAGE_BYTES / entryBytes)));
  cut.reads += weight;
  cut.bytes += count * entryBytes * weight;
  cut.publications += count * weight;
  redis.serve((REDIS.historyUs + count * REDIS.historyEntryUs) * redisWeight, () => {
    network.serve((count * entryBytes * 8 * 1e6) / MACHINE.nodeNetworkBits, () => {
      // What is missed goes out together: one write for each subscriber.
      const us = count * NODE.receiveUs + hole.subscribersPerChannel * deliveryUs(hole.publicationsPerSecond);
      core.serve(us, () => {
        if (left > count) agenda.after(MACHINE.roundTripMs, () => read(cut, left - count));
        else cut.wholeAtMs.push(agenda.nowMs);
      });
    });
  });
}

function figuresOf(hole: Hole, cuts: readonly Cut[], redis: Station): HoleFigures {
  const sum = (value: (cut: Cut) => number): number => cuts.reduce((total, cut) => total + value(cut), 0);
  const whole = cuts.flatMap(({ wholeAtMs }) => wholeAtMs).toSorted((a, b) => a - b);
  const first = cuts[0];
  const stations = [redis, ...cuts.flatMap(({ core, network }) => [core, network])];
  const busiest = busiestOf(stations);
  const isFull = busiest !== undefined && busiest.peakShare >= 0.95;
  return {
    channels: hole.cut * hole.channelsPerNode,
    reads: sum(({ reads }) => reads),
    bytes: sum(({ bytes }) => bytes),
    publications: sum(({ publications }) => publications),
    told: sum(({ told }) => told) * (first?.weight ?? 1),
    halfWholeMs: whole[Math.ceil(whole.length / 2) - 1] ?? 0,
    allWholeMs: whole.at(-1) ?? 0,
    redisShareBefore: redisShare(hole),
    redisPeakShare: redis.peakShare,
    nodePeakShare: Math.max(...cuts.map(({ core }) => core.peakShare)),
    breaksFirst: isFull ? busiest.name.replace(/ \d+$/, "") : "nothing",
  };
}
