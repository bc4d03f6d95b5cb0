/** Broker on SQLite: numbering and recent bodies in memory, everything kept in the database, in step with its commits. */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import type { NameQuery } from "../../base/names.ts";
import type { Broker, BrokerChannel, Draft, HistoryPage, HistoryQuery, Published, Sink } from "../../ports/broker.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import { readHistory } from "../channel-history.ts";
import { ChannelWalk, listChannels } from "../channel-list.ts";
import type { Committer } from "./committer.ts";
import type { Shelf } from "./shelf.ts";
import { StoredChannel } from "./stored-channel.ts";
import { ClearTask, ForgetTask, PublishTask } from "./broker-tasks.ts";

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

  subscribe(name: string): Promise<Position> {
    const channel = this.shelf.channels.get(name);
    if (channel === undefined) return Promise.resolve(this.shelf.vacanciesOf(name).follow(name));
    channel.subscribed = true;
    return Promise.resolve(channel.position);
  }

  unsubscribe(name: string): void {
    const channel = this.shelf.channels.get(name);
    if (channel === undefined) {
      this.shelf.unfollow(name);
      return;
    }
    channel.subscribed = false;
    channel.usedAt = this.clock.now();
  }

  async history(name: string, query: HistoryQuery): Promise<HistoryPage> {
    const now = this.clock.now();
    const channel =
      this.shelf.channels.get(name) ??
      new StoredChannel(name, this.shelf.vacanciesOf(name).positionOf(name).epoch, now);
    // A position is handed out here as well.
    channel.usedAt = now;
    this.shelf.trim(channel, now);
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

  channels(query: NameQuery): Promise<BrokerChannel[]> {
    const now = this.clock.now();
    return Promise.resolve(
      listChannels(this.shelf.channels.values(), query, (channel) => this.shelf.trim(channel, now)),
    );
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
