/**
 * Mending: a channel whose publications do not come as they should is brought up to date from the history: a hole is filled, another
 * epoch found out and told to those who are subscribed. One at a time per channel; what comes meanwhile waits in the backlog.
 */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../base/clock.ts";
import { itemsOf } from "../base/few.ts";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Turn } from "../base/turn.ts";
import type { Broker, HistoryPage } from "../ports/broker.ts";
import type { LocalChannel } from "./model.ts";
import type { Outbox } from "./outbox.ts";

/** As much as one turn hands on. */
const PAGE = { limit: 500, bytesMax: 256 * 1024 } as const;
const RETRY_MS = 1000;

/** The log hears of it so often, with how many channels it were: an outage concerns all. */
const TELL_MS = 2000;

/** How many channels went on with everything, with something missing, and cannot be read yet. */
const NOTHING = Object.freeze({ recovered: 0, lost: 0, waiting: 0 });

export interface MendingDeps {
  readonly outbox: Outbox;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly log: Logger;
  readonly history: Broker["history"];
  readonly isFollowed: (channel: LocalChannel) => boolean;
  /** Goes on with the channel's backlog. */
  readonly flow: (channel: LocalChannel) => void;
}

export class Mending {
  #counts = NOTHING;

  constructor(private readonly deps: MendingDeps) {}

  /** The history holds more than was handed on to us: the broker's message was lost or is late. */
  catchUp(channel: LocalChannel, top: Position): void {
    const behind = top.epoch !== channel.epoch || top.offset > channel.delivered;
    if (behind && !channel.mending && channel.starting === null && channel.backlog === null) this.begin(channel);
  }

  /** A publication of another epoch has come. */
  renumber(channel: LocalChannel): void {
    // Two numberings must not meet in one backlog, where offsets alone do not tell them apart: the history has what this one brought.
    if (channel.mending) channel.renumbered = true;
    else this.begin(channel);
  }

  /** Fills a hole, or finds out where the channel stands after a change of epoch. */
  begin(channel: LocalChannel): void {
    channel.mending = true;
    channel.renumbered = false;
    const from = { epoch: channel.epoch, offset: channel.delivered };
    this.deps.history(channel.name, { from, ...PAGE }).then(
      (page) => {
        if (this.deps.isFollowed(channel)) this.#take(channel, from, page);
      },
      (error: unknown) => {
        // What cannot be reached says so itself, once, and not for each channel.
        if (error instanceof ReplyError) this.#count("waiting");
        else this.deps.log.error("channel cannot be mended yet", { channel: channel.name, error });
        this.deps.clock.after(RETRY_MS, () => {
          if (this.deps.isFollowed(channel)) this.begin(channel);
        });
      },
    );
  }

  #take(channel: LocalChannel, from: Position, page: HistoryPage): void {
    const { turn, log } = this.deps;
    channel.mending = false;
    this.#count(page.reached ? "recovered" : "lost");
    const changed = page.top.epoch !== channel.epoch;
    channel.epoch = page.top.epoch;
    if (!page.reached) channel.delivered = page.top.offset;
    if (changed || !page.reached) {
      channel.ring?.clear();
      this.#announce(channel, page.reached);
    }
    log.debug("channel mended", () => ({ channel: channel.name, from, top: page.top, recovered: page.reached }));
    // What waited belongs to the old epoch: read again what came since instead.
    channel.backlog = changed ? [...page.publications] : [...page.publications, ...(channel.backlog ?? [])];
    channel.backlogBytes = channel.backlog.reduce((sum, publication) => sum + channel.weigh(publication), 0);
    this.deps.flow(channel);
    if (changed || page.more || channel.renumbered) turn.atEnd(() => this.#again(channel));
  }

  #again(channel: LocalChannel): void {
    if (this.deps.isFollowed(channel) && !channel.mending) this.begin(channel);
  }

  /** Tells the live subscribers where the stream continues after a break. */
  #announce(channel: LocalChannel, recovered: boolean): void {
    const { outbox } = this.deps;
    const { name, epoch, delivered } = channel;
    const live = [...itemsOf(channel.subscriptions)].filter(({ reach }) => reach !== "catching");
    for (const { session } of live) {
      outbox.push(session, { type: "subscribed", channel: name, epoch, offset: delivered, recovered });
    }
    // Once all have been told: what one is handed may take others' cursors along, which are at the new position already.
    for (const { session } of live) outbox.flush(session);
  }

  #count(kind: keyof typeof NOTHING): void {
    if (this.#counts === NOTHING) {
      this.deps.clock.after(TELL_MS, () => {
        this.deps.log.warn("channels mended", this.#counts);
        this.#counts = NOTHING;
      });
    }
    this.#counts = { ...this.#counts, [kind]: this.#counts[kind] + 1 };
  }
}
