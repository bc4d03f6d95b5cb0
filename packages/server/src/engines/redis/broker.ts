/** Broker on Redis: what is published is numbered, kept and told to those who follow the channel by one script (`scripts.ts`). */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { NameQuery } from "../../base/names.ts";
import type { Broker, BrokerChannel, Draft, HistoryPage, HistoryQuery, Published, Sink } from "../../ports/broker.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import { readHistory } from "./broker-history.ts";
import { firstNames } from "./broker-names.ts";
import { Publisher } from "./broker-publish.ts";
import { type Followed, Watch } from "./broker-watch.ts";
import { AnswerLost, notSent } from "./failures.ts";
import { type ChannelKeys, channelKeys } from "./keys.ts";
import type { Link } from "./link.ts";
import { readMessage } from "./messages.ts";
import { CLEAR, DROP_NAME } from "./scripts.ts";

/** Looks at a channel without reading anything. */
const LOOK: HistoryQuery = { from: "latest", limit: 0, bytesMax: 0 };

/** A numbering outlives what it numbers. */
const LIST_MARGIN_MS = 1_000;

export interface RedisBrokerDeps {
  readonly link: Link;
  readonly settings: EngineSettings;
  readonly sink: Sink;
  readonly clock: Clock;
  readonly log: Logger;
  readonly prefix: string;
  /** Of this process among its peers. */
  readonly mark: string;
  readonly waitReplicas: number;
}

export class RedisBroker implements Broker {
  readonly #watch: Watch;
  readonly #publisher: Publisher;

  constructor(private readonly deps: RedisBrokerDeps) {
    const { positionTtlMs, retentionOf } = deps.settings;
    const lifeOf = (channel: string): number =>
      Math.max(2 * positionTtlMs, retentionOf(channel).ttlMs + LIST_MARGIN_MS);
    this.#watch = new Watch({ ...deps, positionTtlMs, lifeOf });
    this.#publisher = new Publisher(deps);
  }

  publish(channel: string, draft: Draft): Promise<Published> {
    const followed = this.#watch.followed.get(channel);
    return this.#publisher.publish(channel, followed?.keys ?? this.#keysOf(channel), draft, followed);
  }

  #keysOf(channel: string): ChannelKeys {
    return channelKeys(this.deps.prefix, channel);
  }

  async subscribe(channel: string): Promise<Position> {
    const { followed } = this.#watch;
    const known = followed.get(channel);
    const entry = known ?? {
      channel,
      keys: this.#keysOf(channel),
      seen: undefined,
      heard: true,
      rounds: 1,
      roundsLeft: 1,
    };
    try {
      // Both in one turn: usually the top is read behind the subscription, so nothing can come between them.
      const following = known === undefined ? this.#follow(entry) : true;
      const [tops, isBehind] = await Promise.all([this.#watch.tops([entry], true), following]);
      const [top] = isBehind ? tops : await this.#watch.tops([entry], false);
      if (top === undefined) throw new Error("no top was read");
      return top;
    } catch (error) {
      if (known === undefined && followed.get(channel) === entry) this.unsubscribe(channel);
      throw error instanceof AnswerLost ? notSent(error.message) : error;
    }
  }

  #follow(entry: Followed): Promise<boolean> {
    const { channel, keys } = entry;
    this.#watch.followed.set(channel, entry);
    return this.deps.link.follow(keys.messages, (message) => this.#received(entry, message));
  }

  #received(entry: Followed, bytes: Buffer): void {
    const { sink } = this.deps;
    const { channel } = entry;
    const message = readMessage(bytes);
    if (message === undefined) return;
    if (message.kind !== "publication") {
      sink.event(message.kind, channel, message.member);
      return;
    }
    const { epoch, id, publication } = message;
    // Without a number of its own it is at the top so far, and tells nothing of what was lost before it.
    if (publication.offset > 0) {
      entry.seen = { epoch, offset: publication.offset };
      entry.heard = true;
    }
    sink.publication(channel, epoch, publication);
    this.#publisher.seen(
      id,
      publication.offset > 0 ? { epoch, offset: publication.offset } : { offset: 0, ...entry.seen, epoch },
    );
  }

  unsubscribe(channel: string): void {
    const entry = this.#watch.followed.get(channel);
    if (entry === undefined) return;
    this.#watch.followed.delete(channel);
    this.#publisher.unfollowed(entry);
    this.deps.link.unfollow(entry.keys.messages);
  }

  async history(channel: string, query: HistoryQuery): Promise<HistoryPage> {
    const { link, settings } = this.deps;
    const read = readHistory(link, this.#keysOf(channel), settings.retentionOf(channel), settings.positionTtlMs, query);
    const { top, reached, publications, more } = await this.#known(read);
    return { top, reached, publications, more };
  }

  async clear(channel: string): Promise<void> {
    const { list } = this.#keysOf(channel);
    // On the connection of the publishes that were called before it.
    await this.#known(this.deps.link.run(CLEAR, [list], [], true));
  }

  async channels(query: NameQuery): Promise<BrokerChannel[]> {
    const channels: BrokerChannel[] = [];
    let { after } = query;
    while (channels.length < query.limit) {
      const limit = query.limit - channels.length;
      const names = await this.#known(firstNames(this.deps.link, this.deps.prefix, { ...query, after, limit }));
      const found = await Promise.all(names.map((name) => this.#known(this.#describe(name))));
      channels.push(...found.filter((channel) => channel !== undefined));
      if (names.length < limit) break;
      after = names.at(-1);
    }
    return channels;
  }

  /** undefined: its numbering has been forgotten, and so is its name now. */
  async #describe(channel: string): Promise<BrokerChannel | undefined> {
    const { link, settings } = this.deps;
    const keys = this.#keysOf(channel);
    const look = await readHistory(link, keys, settings.retentionOf(channel), settings.positionTtlMs, LOOK);
    if (look.isNumbered) return { channel, top: look.top, kept: look.kept };
    await link.run(DROP_NAME, [keys.names, keys.meta], [channel]);
    return undefined;
  }

  /** Reading again does no harm, but whoever asked can do that as well. */
  async #known<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw error instanceof AnswerLost ? notSent(error.message) : error;
    }
  }

  close(): void {
    this.#watch.close();
    this.#publisher.close();
  }
}
