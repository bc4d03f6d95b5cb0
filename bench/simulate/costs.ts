/**
 * What things cost, as measured on one machine (2 cores, Linux 6.18, Bun 1.4.4, Redis 7.0.15, loopback). Everything in the simulation that is no
 * rule of the software itself stands here. `npm run bench` takes them anew, sections in brackets, and `bench/redis-costs.bench.ts`.
 */

/** Of a process that serves clients, in microseconds of its core. */
export const NODE = {
  /** A client that connects with a JWT and subscribes to one channel: 12,386 a second [memory, one channel]. */
  connectUs: 81,
  /** Each further channel: 7,418 connects a second with six [memory, six channels]. */
  subscribeUs: 11,
  /** A publication that a client missed, read and sent in a replay [storm]. */
  replayUs: 3,
  /** A publication that arrives over HTTP, under load, and goes to Redis [redis]; with sqlite 18 us [publish]. */
  publishUs: 35,
  /** What it costs to wake up for a lone one: 0.23 ms at 100/s less what it costs under load [fanout]. */
  wakeUs: 210,
  /** A publication that arrives by Redis for local subscribers: read, decoded, framed [redis-costs: publish with followers]. */
  receiveUs: 4,
  /** A look at how far a quiet channel has come in Redis [redis-costs]. */
  lookUs: 12,
  /** An idle client's ping and its answer [upkeep]. */
  heartbeatUs: 4,
} as const;

/** CPU time of one delivery by publications a second that a client gets: those of one turn share a write [fanout]. */
export const DELIVERY_US: readonly (readonly [perSecond: number, us: number])[] = [
  [20, 7.3],
  [100, 5.9],
  [300, 3.3],
  [600, 1.66],
  [1000, 1],
];

/** Of Redis, in microseconds of its core, when it has more than one thing to do. */
export const REDIS = {
  /** The script of a publish: key, number, entry, trim, expiry, message [redis-costs]. */
  publishUs: 18.7,
  /** Each node that follows the channel: the message is written to its connection [redis-costs]. */
  followerUs: 0.4,
  /** A history read, and each publication in it [redis-costs]. */
  historyUs: 10.4,
  historyEntryUs: 0.57,
  /** How far a quiet channel has come, asked in scripts of a hundred [redis-costs]. */
  topUs: 4,
  /** The first client of a channel on a node: pub/sub and the top [redis-costs]. */
  subscribeUs: 11,
  /** What a client's session takes at its coming: its record, its user's count, its presence [redis-costs: get, set, add, put]. */
  sessionUs: 24,
  /** What it costs to wake up for a lone command: 48 us for a publish alone that takes 7 us in a row. */
  wakeUs: 40,
} as const;

/** Bytes. */
export const BYTES = {
  /** What a publication takes besides its data in a message of Redis, and in a frame to a client. */
  messageOverhead: 90,
  frameOverhead: 70,
  /** A connection with one channel, and with six [memory]. */
  connection: 3800,
  channelOfConnection: 300,
  /** A channel in Redis with its first publication; each further one takes what its data has [redis-costs]. */
  redisChannel: 770,
  /** The record, count and presence of a session in Redis [redis-costs]. */
  redisSession: 570,
} as const;

/** What a machine has. */
export const MACHINE = {
  /** Of a node's process, and of Redis's machine: bits a second. */
  nodeNetworkBits: 1e9,
  redisNetworkBits: 10e9,
  roundTripMs: 0.5,
} as const;

/** Between the measured rates by the logarithm of the rate; beyond them the nearest. */
export function deliveryUs(perSecond: number): number {
  const [first] = DELIVERY_US;
  const last = DELIVERY_US.at(-1);
  if (first === undefined || last === undefined) return Number.NaN;
  if (perSecond <= first[0]) return first[1];
  for (let at = 1; at < DELIVERY_US.length; at++) {
    const [lowRate, lowUs] = DELIVERY_US[at - 1] ?? first;
    const [highRate, highUs] = DELIVERY_US[at] ?? last;
    if (perSecond > highRate) continue;
    const share = Math.log(perSecond / lowRate) / Math.log(highRate / lowRate);
    return lowUs + (highUs - lowUs) * share;
  }
  return last[1];
}
