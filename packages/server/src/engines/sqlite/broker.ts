/** Broker on SQLite: numbering and recent bodies in memory, everything kept in the database, in step with its commits. */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Broker, BrokerChannel, Draft, HistoryPage, HistoryQuery, Published, Sink } from "../../ports/broker.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import { readHistory } from "../channel-history.ts";
import { ChannelWalk, listChannels, type ListQuery } from "../channel-list.ts";
import type { Committer } from "./committer.ts";
import type { Shelf } from "./shelf.ts";
import type { StoredChannel } from "./stored-channel.ts";
import { ClearTask, ForgetTask, PublishTask, StoreTask } from "./broker-tasks.ts";

export class SqliteBroker implements Broker {
  readonly #walk: ChannelWalk<StoredChannel>;
  /** Channels whose forgetting waits for its transaction. */
  readonly #leaving = new Set<StoredChannel>();

  constructor(
    readonly shelf: Shelf,
    readonly committer: Committer,
    readonly settings: EngineSettings,
    readonly sink: Sink,
    readonly clock: Clock,
  ) {
    this.#walk = new ChannelWalk(shelf.channels, (channel) => this.#visit(channel));
  }

  publish(name: string, draft: Draft): Promise<Published> {
    return new Promise((resolve, reject) => {
      const size = draft.keep ? this.settings.retentionOf(name).size : 0;
      this.committer.add(new PublishTask(this.shelf, this.sink, name, draft, size > 0, resolve, reject));
    });
  }

  async subscribe(name: string): Promise<Position> {
    const channel = this.shelf.open(name, this.clock.now());
    channel.subscribed = true;
    await this.#store(channel);
    return channel.position;
  }

  unsubscribe(name: string): void {
    const channel = this.shelf.channels.get(name);
    if (channel === undefined) return;
    channel.subscribed = false;
    channel.usedAt = this.clock.now();
  }

  async history(name: string, query: HistoryQuery): Promise<HistoryPage> {
    const channel = this.shelf.open(name, this.clock.now());
    // A position is handed out here as well.
    channel.usedAt = this.clock.now();
    await this.#store(channel);
    this.shelf.trim(channel, this.clock.now());
    try {
      return readHistory(channel, query, (_, offset) => this.shelf.load(channel, offset));
    } catch (error) {
      this.committer.log.error("history cannot be read", { channel: name, error });
      throw new ReplyError("unavailable", "the history cannot be read");
    }
  }

  clear(name: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.committer.add(new ClearTask(this.shelf, name, resolve, reject));
    });
  }

  channels(query: ListQuery): Promise<BrokerChannel[]> {
    const now = this.clock.now();
    return Promise.resolve(
      listChannels(this.shelf.channels.values(), query, (channel) => this.shelf.trim(channel, now)),
    );
  }

  /**
   * A position that is handed out must be good after a restart too, also that of a channel nobody has published to yet: it
   * gets its row first. If that fails, the position is handed out all the same: the disk is full, subscribing goes on.
   */
  async #store(channel: StoredChannel): Promise<void> {
    if (channel.id !== 0 || this.settings.retentionOf(channel.name).size === 0) return;
    await new Promise<void>((resolve) => this.committer.add(new StoreTask(this.shelf, channel, resolve)));
  }

  /** A step of what time does: expired publications, keys and numberings go. */
  sweep(): void {
    this.#walk.step();
    if (this.shelf.isWaiting(this.clock.now())) this.committer.tidy();
  }

  #visit(channel: StoredChannel): void {
    const now = this.clock.now();
    this.shelf.trim(channel, now);
    if (!this.shelf.isForgettable(channel, now) || this.#leaving.has(channel)) return;
    this.#leaving.add(channel);
    this.committer.add(new ForgetTask(this.shelf, channel, () => this.#leaving.delete(channel)));
  }
}
