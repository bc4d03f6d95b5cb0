/** A channel as the application uses it. */
import type { HistoryEntry, Json, Member, Position, ServerFrame, Since } from "@longwire/protocol";
import type { Emitter, Handler } from "./emitter.ts";
import { type FrameOf, type Line, reach, request } from "./line.ts";
import { soon } from "./platform.ts";
import type { Draft } from "./requests.ts";
import type { ChannelState } from "./state.ts";
import type { ChannelEvents, Subscription } from "./subscription.ts";

export interface PublishOptions {
  /** The event's name, for clients that know names. */
  readonly name?: string;
  /** Idempotency key; made up unless given, so that a publish repeated after a cut is stored once. */
  readonly key?: string;
  /** `base64`: `data` stands for bytes and is written so, which is for the application to do. */
  readonly encoding?: "base64";
}

export interface HistoryOptions {
  /** Publications after this position; before it, with `reverse`. */
  readonly since?: Position | "earliest" | "latest";
  readonly limit?: number;
  /** The newest first. */
  readonly reverse?: boolean;
}

export interface History<T> {
  readonly publications: readonly (HistoryEntry & { readonly data: T })[];
  /** The top of the channel. A subscription `since` it continues without a gap. */
  readonly position: Position;
  /** Whether there is more in the direction asked. */
  readonly more: boolean;
}

export interface Presence {
  readonly members: readonly Member[];
  /** People: somebody with three tabs counts once. */
  readonly users: number;
  readonly sessions: number;
}

export class Channel<T = Json> {
  readonly #line: Line;
  readonly #subscription: () => Subscription;
  readonly #emitter: Emitter<ChannelEvents<unknown>>;

  /** Made by `Client.channel` and `Client.inbox`: an inbox keeps its handlers whichever subscription it is. */
  constructor(line: Line, subscription: () => Subscription, emitter: Emitter<ChannelEvents<unknown>>) {
    this.#line = line;
    this.#subscription = subscription;
    this.#emitter = emitter;
  }

  /** `"@"` for an inbox whose user is not known yet. */
  get name(): string {
    return this.#subscription().name;
  }

  get state(): ChannelState {
    return this.#subscription().state;
  }

  /** Everything up to here was handed over. */
  get position(): Position | undefined {
    return this.#subscription().position;
  }

  on<Name extends keyof ChannelEvents<T>>(event: Name, handler: Handler<ChannelEvents<T>[Name]>): () => void {
    const off = this.#emitter.on(event, handler as Handler<ChannelEvents<unknown>[Name]>);
    soon(() => this.#subscription().release());
    return off;
  }

  /** Subscribes, now and after every reconnection, from the position of before, or from `since` where it is given. */
  subscribe(since?: Since): this {
    this.#subscription().subscribe(since);
    return this;
  }

  /** Ends the subscription and forgets its position. */
  unsubscribe(): void {
    this.#subscription().unsubscribe();
  }

  /** Resolves once subscribed; fails when the server refuses, or the connection is ended for good or by `disconnect()`. */
  ready(): Promise<void> {
    return reach<ChannelState>(this.#line, this, "subscribed");
  }

  /** Resolves to the publication's position once it is stored, or to `undefined` where it is not numbered. */
  async publish(data: T, options: PublishOptions = {}): Promise<Position | undefined> {
    const { key = this.#line.newKey() } = options;
    const draft: Draft = { type: "publish", channel: this.name, data: data as Json, ...options, key };
    const { epoch, offset } = await this.#ask(draft, "published");
    return (offset as number | undefined) === undefined ? undefined : { epoch, offset };
  }

  async history(options?: HistoryOptions): Promise<History<T>> {
    const frame = await this.#ask({ type: "history", channel: this.name, ...options }, "history");
    const { publications, epoch, offset, more } = frame;
    return { publications: publications as History<T>["publications"], position: { epoch, offset }, more };
  }

  async presence(): Promise<Presence> {
    const { members, users, sessions } = await this.#ask({ type: "presence", channel: this.name }, "presence");
    return { members, users, sessions };
  }

  #ask<Type extends ServerFrame["type"]>(draft: Draft, type: Type): Promise<FrameOf<Type>> {
    return request(this.#line, draft, "repeat", type);
  }
}
