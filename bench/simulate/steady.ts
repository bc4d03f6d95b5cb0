/**
 * Everyday work: what nodes and Redis do under a profile's load, by sums, and how long publications wait at both, by playing some
 * seconds of them through. What is fullest breaks first, and at which multiple of the load.
 */
import { Agenda } from "./agenda.ts";
import { Chance } from "./chance.ts";
import { BYTES, deliveryUs, MACHINE, NODE, REDIS } from "./costs.ts";
import { type Load, loadOf, type Profile } from "./profiles.ts";
import { Station } from "./station.ts";

export interface SteadyFigures {
  readonly load: Load;
  readonly nodeShare: number;
  readonly redisShare: number;
  /** Of what Redis does: looks at quiet channels. */
  readonly looksShare: number;
  readonly nodeNetworkShare: number;
  readonly redisNetworkShare: number;
  readonly redisCommandsPerSecond: number;
  readonly redisMessagesPerSecond: number;
  readonly redisMegabitsPerSecond: number;
  readonly nodeGigabytes: number;
  readonly redisGigabytes: number;
  /** From the publish to the last of a node's subscribers; Infinity where something is full. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly breaksFirst: string;
  /** At so many times this load. */
  readonly breaksAt: number;
}

/** After how long a silence a node looks how far a channel has come, and how often from then on (engines/redis/broker-watch.ts); and is heard of. */
const LOOK_SECONDS = [7, 35] as const;
const TOP_SECONDS = 112;
const LEASE_SECONDS = 3;
const PING_SECONDS = 25;
/** Commands of a client's coming and going: its record, its user's count, its presence; and the history read of each channel. */
const SESSION_COMMANDS = 4;
const PLAYED_PUBLICATIONS = 50_000;
const PLAYED_MS_MAX = 20_000;

/** `masters` of a Redis Cluster share what Redis does. */
export function simulateSteady(profile: Profile, nodes: number, seed: number, masters = 1): SteadyFigures {
  const load = loadOf(profile, nodes);
  const shares = sharesOf(profile, load, nodes, masters);
  const [breaksFirst, most] = Object.entries({
    "a core of the nodes": shares.nodeShare,
    "Redis's core": shares.redisShare,
    "network of the nodes": shares.nodeNetworkShare,
    "network of Redis": shares.redisNetworkShare,
  }).reduce((fullest, each) => (each[1] > fullest[1] ? each : fullest));
  return {
    load,
    ...shares,
    ...waits(load, { nodes, masters, shares }, seed),
    breaksFirst,
    breaksAt: 1 / most,
  };
}

/** At a channel, by each node that follows it. A silence lasts for so long with the chance of a Poisson process. */
function looksPerSecond(publicationsPerSecond: number): number {
  const lasts = (seconds: number): number => Math.exp(-publicationsPerSecond * seconds);
  const soon = LOOK_SECONDS.reduce((sum, seconds) => sum + lasts(seconds), 0);
  return publicationsPerSecond * soon + lasts(TOP_SECONDS) / TOP_SECONDS;
}

function sharesOf(profile: Profile, load: Load, nodes: number, masters: number) {
  const { publicationsPerSecond, followers, deliveriesPerSecond, connectsPerSecond, channelsPerNode, clients } = load;
  const messages = publicationsPerSecond * followers;
  const channels = (channelsPerNode * nodes) / followers;
  const tops = nodes === 1 ? 0 : channelsPerNode * nodes * looksPerSecond(publicationsPerSecond / channels);
  const nodeUs =
    (publicationsPerSecond / nodes) * NODE.publishUs +
    (messages / nodes) * NODE.receiveUs +
    (deliveriesPerSecond / nodes) * deliveryUs(load.deliveriesPerClient) +
    (connectsPerSecond / nodes) * (NODE.connectUs + (profile.channelsPerClient - 1) * NODE.subscribeUs) +
    (profile.clientsPerNode / PING_SECONDS) * NODE.heartbeatUs +
    (tops / nodes) * NODE.lookUs;
  const reads = connectsPerSecond * profile.channelsPerClient;
  const redisUs =
    publicationsPerSecond * REDIS.publishUs +
    messages * REDIS.followerUs +
    tops * REDIS.topUs +
    connectsPerSecond * REDIS.sessionUs +
    reads * REDIS.historyUs;
  const messageBytes = profile.dataBytes + BYTES.messageOverhead;
  const redisBits = (publicationsPerSecond + messages) * messageBytes * 8;
  const frameBits = (profile.dataBytes + BYTES.frameOverhead) * 8;
  return {
    nodeShare: nodeUs / 1e6,
    redisShare: redisUs / masters / 1e6,
    nodeNetworkShare: (deliveriesPerSecond * frameBits + messages * messageBytes * 8) / nodes / MACHINE.nodeNetworkBits,
    redisNetworkShare: redisBits / masters / MACHINE.redisNetworkBits,
    looksShare: (tops * REDIS.topUs) / redisUs,
    redisCommandsPerSecond:
      publicationsPerSecond + tops + nodes / LEASE_SECONDS + connectsPerSecond * SESSION_COMMANDS + reads,
    redisMessagesPerSecond: messages,
    redisMegabitsPerSecond: redisBits / 1e6,
    nodeGigabytes:
      (profile.clientsPerNode * (BYTES.connection + (profile.channelsPerClient - 1) * BYTES.channelOfConnection)) / 1e9,
    redisGigabytes: (channels * BYTES.redisChannel + clients * BYTES.redisSession) / 1e9,
  };
}

/** Publications come when they come; Redis takes one after the other, and so does a node that follows the channels of some. */
function waits(
  load: Load,
  { nodes, masters, shares }: { nodes: number; masters: number; shares: ReturnType<typeof sharesOf> },
  seed: number,
): { p50Ms: number; p99Ms: number } {
  const agenda = new Agenda();
  const chance = new Chance(seed);
  if (Math.max(shares.nodeShare, shares.redisShare) >= 1) return { p50Ms: Infinity, p99Ms: Infinity };
  const publishUs = REDIS.publishUs + load.followers * REDIS.followerUs;
  const ownRedis = (load.publicationsPerSecond * publishUs) / masters / 1e6;
  const redis = new Station("Redis", agenda, { wakeUs: REDIS.wakeUs, background: shares.redisShare - ownRedis });
  // One node stands for all: it follows this share of the channels, and has this share of a channel's subscribers.
  const share = load.followers / nodes;
  const subscribersHere = load.subscribers / load.followers;
  const deliveriesUs = NODE.receiveUs + subscribersHere * deliveryUs(load.deliveriesPerClient);
  const ownNode = (load.publicationsPerSecond * share * deliveriesUs) / 1e6;
  const core = new Station("node", agenda, { wakeUs: 0, background: Math.max(0, shares.nodeShare - ownNode) });
  const took: number[] = [];
  const publish = (left: number): void => {
    const begunMs = agenda.nowMs;
    redis.serve(publishUs / masters, () => {
      if (chance.share() >= share) return;
      agenda.after(MACHINE.roundTripMs, () => {
        core.serve(deliveriesUs, () => took.push(agenda.nowMs - begunMs));
      });
    });
    const gapMs = chance.gapMs(load.publicationsPerSecond);
    if (left > 1 && agenda.nowMs < PLAYED_MS_MAX) agenda.after(gapMs, () => publish(left - 1));
  };
  publish(PLAYED_PUBLICATIONS);
  agenda.run();
  const sorted = took.toSorted((a, b) => a - b);
  const at = (quantile: number): number => sorted[Math.ceil(sorted.length * quantile) - 1] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}
