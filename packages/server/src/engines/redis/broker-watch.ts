/**
 * What is followed, and whether all of it has arrived: pub/sub delivers at most once. After a connection has come back, and of channels that were quiet
 * for a while, the tops are read, and the sink is told; it reads what it does not have.
 */
import type { Position } from "@longwire/protocol";
import type { Clock, Timer } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import { newEpoch } from "../../base/ids.ts";
import type { Logger } from "../../base/log.ts";
import type { Sink } from "../../ports/broker.ts";
import { AnswerLost } from "./failures.ts";
import type { ChannelKeys } from "./keys.ts";
import type { Link } from "./link.ts";
import { TOPS } from "./scripts.ts";

/** Twice this is how long the last message of a channel may be missed that has just been busy. */
const CHECK_MS = 7_000;

/**
 * Of a channel that stays quiet only every so many-th time, since looks at quiet channels would be most of what Redis does where each user has a
 * channel. On a connection that lives nothing is known to get lost: this is a net below the others.
 */
const ROUNDS_MAX = 16;

/** Channels asked about in one script, and scripts on their way at a time: Redis must not stand still when a node looks after 100,000. */
const BATCH = 100;
const BATCHES_AT_ONCE = 4;

export interface Followed {
  readonly channel: string;
  readonly keys: ChannelKeys;
  /** Up to where its messages have come, if any has. */
  seen: Position | undefined;
  /** A message has come since the last round. */
  heard: boolean;
  /** Rounds from one look to the next, and from now on. */
  rounds: number;
  roundsLeft: number;
}

export interface WatchDeps {
  readonly link: Link;
  readonly sink: Pick<Sink, "top">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly positionTtlMs: number;
  /** How long a numbering lives on after a use. */
  readonly lifeOf: (channel: string) => number;
}

export class Watch {
  readonly followed = new Map<string, Followed>();
  readonly #timer: Timer;
  /** When everything is to be looked at, quiet or not, so that the numberings of what is followed live on. */
  #renewAt: number;
  #looking: "no" | "yes" | "again" = "no";

  constructor(private readonly deps: WatchDeps) {
    this.#renewAt = deps.clock.uptime() + deps.positionTtlMs / 8;
    this.#timer = deps.clock.every(CHECK_MS, () => this.#check(false));
    deps.link.onReturn(() => this.#check(true));
  }

  close(): void {
    this.#timer.cancel();
  }

  #check(all: boolean): void {
    const { clock, log, positionTtlMs } = this.deps;
    if (this.#looking !== "no") {
      // Another return while the tops are being read: some of them are from before it.
      if (all) this.#looking = "again";
      return;
    }
    const renew = clock.uptime() >= this.#renewAt;
    if (renew) this.#renewAt = clock.uptime() + positionTtlMs / 8;
    const channels: Followed[] = [];
    for (const followed of this.followed.values()) if (isDue(followed) || all || renew) channels.push(followed);
    this.#looking = "yes";
    this.#look(channels, renew)
      .catch((error: unknown) => {
        // The next look is soon, or the return that follows an outage.
        if (!(error instanceof ReplyError || error instanceof AnswerLost)) log.error("tops cannot be read", { error });
      })
      .finally(() => {
        const isAgain = this.#looking === "again";
        this.#looking = "no";
        if (isAgain) this.#check(true);
      })
      .catch(() => undefined);
  }

  async #look(channels: readonly Followed[], renew: boolean): Promise<void> {
    const batches: Followed[][] = [];
    for (const group of Map.groupBy(channels, ({ keys }) => keys.origin).values()) {
      for (let start = 0; start < group.length; start += BATCH) batches.push(group.slice(start, start + BATCH));
    }
    const rest = batches.values();
    const work = async (): Promise<void> => {
      for (const batch of rest) await this.#tell(batch, renew);
    };
    await Promise.all(Array.from({ length: BATCHES_AT_ONCE }, work));
  }

  async #tell(batch: readonly Followed[], renew: boolean): Promise<void> {
    const tops = await this.tops(batch, renew);
    for (const [index, { channel }] of batch.entries()) {
      const top = tops[index];
      if (top !== undefined && this.followed.get(channel) === batch[index]) this.deps.sink.top(channel, top);
    }
  }

  /** How far channels of one tag have come. */
  async tops(batch: readonly Pick<Followed, "channel" | "keys">[], renew: boolean): Promise<Position[]> {
    const { link, positionTtlMs, lifeOf } = this.deps;
    const life = renew ? Math.max(...batch.map(({ channel }) => lifeOf(channel))) : 0;
    const { origin = "", names = "" } = batch[0]?.keys ?? {};
    const keys = [origin, names, ...batch.map((followed) => followed.keys.meta)];
    const answer = (await link.run(TOPS, keys, [newEpoch(), String(positionTtlMs), String(life)])) as (
      string | number
    )[];
    return batch.map((_, index) => ({ epoch: String(answer[2 * index]), offset: Number(answer[2 * index + 1]) }));
  }
}

/** Whether it has been quiet for long enough to be looked at; counts the round. */
function isDue(followed: Followed): boolean {
  if (followed.heard) {
    followed.heard = false;
    followed.rounds = 1;
    followed.roundsLeft = 1;
    return false;
  }
  if (--followed.roundsLeft > 0) return false;
  followed.rounds = Math.min(4 * followed.rounds, ROUNDS_MAX);
  followed.roundsLeft = followed.rounds;
  return true;
}
