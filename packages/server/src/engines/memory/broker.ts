/** Broker in memory: kept is kept as long as the process lives, so a publish is done when it is called. */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import { newEpoch } from "../../base/ids.ts";
import type { NameQuery } from "../../base/names.ts";
import type {
  Broker,
  BrokerChannel,
  Draft,
  HistoryPage,
  HistoryQuery,
  Publication,
  Published,
  Sink,
} from "../../ports/broker.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import { ChannelHistory, readHistory } from "../channel-history.ts";
import { ChannelWalk, listChannels } from "../channel-list.ts";
import { digestOf, IdempotencyKeys } from "../idempotency.ts";
import { Vacancies } from "../vacancies.ts";

/** Expired keys forgotten in one step of the sweep. */
const KEYS_STEP = 5_000;

interface Delivery {
  readonly channel: ChannelHistory;
  readonly publication: Publication;
}

export class MemoryBroker implements Broker {
  readonly #channels = new Map<string, ChannelHistory>();
  readonly #vacancies = new Vacancies(newEpoch());
  readonly #keys: IdempotencyKeys;
  readonly #walk: ChannelWalk<ChannelHistory>;
  /** Deliveries behind the one that is on its way; undefined when none is. */
  #behind: Delivery[] | undefined;

  constructor(
    readonly settings: EngineSettings,
    readonly sink: Sink,
    readonly clock: Clock,
    /** Called when a channel's numbering has been forgotten. */
    readonly forgotten: (channel: string) => void,
  ) {
    this.#keys = new IdempotencyKeys(settings.idempotencyMs, settings.idempotencyBytesMax);
    this.#walk = new ChannelWalk(this.#channels, (channel) => this.#visit(channel));
  }

  async publish(name: string, draft: Draft): Promise<Published> {
    const now = this.clock.now();
    const digest = draft.key === undefined ? "" : digestOf(draft);
    if (draft.key !== undefined) {
      const first = this.#keys.find(name, draft.key, digest, now);
      if (first !== undefined) return { epoch: first.epoch, offset: first.offset, repeated: true };
    }
    const channel = this.#open(name);
    const publication = this.#number(channel, draft, now);
    const { epoch, top: offset } = channel;
    if (draft.key !== undefined) this.#keys.add(name, draft.key, { digest, epoch, offset, time: now, row: 0 });
    if (channel.subscribed) this.#deliver({ channel, publication });
    return { epoch, offset, repeated: false };
  }

  #number(channel: ChannelHistory, draft: Draft, time: number): Publication {
    const { data, encoding, name, user, session, exclude, keep } = draft;
    channel.usedAt = time;
    const offset = keep ? channel.top + 1 : 0;
    const publication = { offset, time, data, encoding, name, user, session, exclude };
    if (!keep) return publication;
    channel.append(offset, time, 0, publication);
    channel.trim(this.settings.retentionOf(channel.name), time);
    return publication;
  }

  /** A sink that publishes again must not get the second before it has done with the first. */
  #deliver(delivery: Delivery): void {
    if (this.#behind !== undefined) {
      this.#behind.push(delivery);
      return;
    }
    const queue = [delivery];
    this.#behind = queue;
    try {
      for (const { channel, publication } of queue) this.sink.publication(channel.name, channel.epoch, publication);
    } finally {
      this.#behind = undefined;
    }
  }

  #open(name: string): ChannelHistory {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      const { epoch, followed } = this.#vacancies.fill(name);
      channel = new ChannelHistory(name, epoch, this.clock.now());
      channel.subscribed = followed;
      this.#channels.set(name, channel);
    }
    return channel;
  }

  subscribe(name: string): Promise<Position> {
    const channel = this.#channels.get(name);
    if (channel === undefined) return Promise.resolve(this.#vacancies.follow(name));
    channel.subscribed = true;
    return Promise.resolve(channel.position);
  }

  unsubscribe(name: string): void {
    const channel = this.#channels.get(name);
    if (channel === undefined) {
      this.#vacancies.unfollow(name);
      return;
    }
    channel.subscribed = false;
    channel.usedAt = this.clock.now();
  }

  history(name: string, query: HistoryQuery): Promise<HistoryPage> {
    const channel =
      this.#channels.get(name) ?? new ChannelHistory(name, this.#vacancies.positionOf(name).epoch, this.clock.now());
    channel.usedAt = this.clock.now();
    channel.trim(this.settings.retentionOf(name), this.clock.now());
    return Promise.resolve(readHistory(channel, query, bodyIsInMemory));
  }

  clear(name: string): Promise<void> {
    const channel = this.#channels.get(name);
    channel?.dropTo(channel.top);
    return Promise.resolve();
  }

  channels(query: NameQuery): Promise<BrokerChannel[]> {
    const now = this.clock.now();
    const trim = (channel: ChannelHistory) => channel.trim(this.settings.retentionOf(channel.name), now);
    return Promise.resolve(listChannels(this.#channels.values(), query, trim));
  }

  /** A step of what time does: expired publications, keys and numberings go. */
  sweep(): void {
    this.#walk.step();
    this.#keys.expire(this.clock.now(), KEYS_STEP);
  }

  #visit(channel: ChannelHistory): void {
    const now = this.clock.now();
    channel.trim(this.settings.retentionOf(channel.name), now);
    if (channel.subscribed || channel.kept > 0 || channel.usedAt + this.settings.positionTtlMs > now) return;
    this.#channels.delete(channel.name);
    this.#vacancies.renew(channel, newEpoch);
    this.forgotten(channel.name);
  }
}

function bodyIsInMemory(): never {
  throw new Error("a publication in memory has lost its body");
}
