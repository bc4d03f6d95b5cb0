/**
 * Subscriber counts: how many sessions a publication has reached in other processes. The engine says how many processes follow a channel, not how many
 * sessions; those are asked for, once a second for a channel, and only while that is cheap: the answer to a publish is no reason to keep every process
 * busy. Without an answer each process that follows counts as one, which is too few and never nobody.
 */
import type { Clock } from "../base/clock.ts";
import type { Turn } from "../base/turn.ts";
import type { Peers } from "./peers.ts";

/** How old a count may be. */
const FRESH_MS = 1000;

/** How long a publish waits for counts. A process that hangs must not make every publish hang. */
const WAIT_MS = 250;

/** Messages to other processes in a second, and channels in them; both also what may come at once. */
const MESSAGES_PER_SECOND = 200;
const CHANNELS_PER_SECOND = 2000;

interface Count {
  readonly sessions: number;
  readonly askedAt: number;
}

/** The channels that one turn asks about, and where their counts arrive: undefined where they do not in time. */
interface Round {
  readonly channels: string[];
  readonly counted: Promise<ReadonlyMap<string, number> | undefined>;
}

export class SubscriberCounts {
  /** The one that was asked the longest ago first. At most those of the last second, and so as many as may be asked about. */
  readonly #counts = new Map<string, Count>();
  readonly #asked = new Map<string, Round>();
  #round: Round | undefined;
  #messagesLeft = MESSAGES_PER_SECOND;
  #channelsLeft = CHANNELS_PER_SECOND;
  #filledAt = -Infinity;
  /** An answer has been waited for in vain, and there was none since. */
  #isLate = false;

  constructor(
    private readonly peers: Peers,
    private readonly turn: Turn,
    private readonly clock: Clock,
  ) {}

  /** How many sessions `followers` other processes have for the channel. */
  async of(channel: string, followers: number): Promise<number> {
    const known = this.#counts.get(channel);
    if (known !== undefined && this.clock.uptime() - known.askedAt < FRESH_MS)
      return Math.max(followers, known.sessions);
    const round = this.#asked.get(channel) ?? this.#ask(channel);
    // Only the first has to find out that a process hangs.
    const counted = this.#isLate ? undefined : await round?.counted;
    return Math.max(followers, counted?.get(channel) ?? 0);
  }

  /** Adds the channel to the question that goes out at the end of this turn. Undefined: too much has been asked. */
  #ask(channel: string): Round | undefined {
    this.#refill();
    if (this.#channelsLeft < 1 || (this.#round === undefined && this.#messagesLeft < 1)) return undefined;
    this.#round ??= this.#begin();
    this.#channelsLeft--;
    this.#round.channels.push(channel);
    this.#asked.set(channel, this.#round);
    return this.#round;
  }

  #begin(): Round {
    // May go below nothing: else many processes could never be asked at all.
    this.#messagesLeft -= this.peers.others.length;
    const channels: string[] = [];
    return { channels, counted: this.turn.end().then(() => this.#end(channels)) };
  }

  async #end(channels: readonly string[]): Promise<ReadonlyMap<string, number> | undefined> {
    this.#round = undefined;
    const counted = this.#count(channels);
    return await new Promise((resolve, reject) => {
      const timer = this.clock.after(WAIT_MS, () => {
        this.#isLate = true;
        resolve(undefined);
      });
      counted.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  async #count(channels: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const askedAt = this.clock.uptime();
    const sums = new Map<string, number>();
    const { answers } = await this.peers.askAll("reached", { channels });
    this.#isLate = false;
    for (const [at, channel] of channels.entries()) {
      const sessions = answers.reduce((sum, counts) => sum + (counts[at] ?? 0), 0);
      sums.set(channel, sessions);
      this.#asked.delete(channel);
      // Behind all others.
      this.#counts.delete(channel);
      this.#counts.set(channel, { sessions, askedAt });
    }
    for (const [channel, count] of this.#counts) {
      if (askedAt - count.askedAt < FRESH_MS) break;
      this.#counts.delete(channel);
    }
    return sums;
  }

  #refill(): void {
    const now = this.clock.uptime();
    const seconds = Math.min(1, (now - this.#filledAt) / 1000);
    this.#filledAt = now;
    this.#messagesLeft = Math.min(MESSAGES_PER_SECOND, this.#messagesLeft + seconds * MESSAGES_PER_SECOND);
    this.#channelsLeft = Math.min(CHANNELS_PER_SECOND, this.#channelsLeft + seconds * CHANNELS_PER_SECOND);
  }
}
