/**
 * What the core keeps in memory: sessions, channels that are followed here, and the subscriptions between them. Data only; what
 * is done with it stands in `hub`, `gateway` and `actions/`. One file, since each of the three knows the other two.
 *
 * There may be a hundred thousand of each, so they are classes with all fields set at birth (one shape for the compiler), and
 * what is rarely there is null instead of empty.
 */
import type { Few } from "../base/few.ts";
import type { Ring } from "../base/ring.ts";
import type { WheelItem } from "../base/timer-wheel.ts";
import type { Identity } from "../ports/authority.ts";
import type { Publication } from "../ports/broker.ts";
import type { Connection, Fanout, Frame } from "../ports/connection.ts";
import type { RequestView, SessionHandle } from "../ports/gateway.ts";
import type { Framer, Protocol } from "../ports/protocol.ts";
import type { Lanes } from "./lanes.ts";
import type { Allowance } from "./allowance.ts";
import type { ChannelOptions } from "./settings.ts";
import type { Json } from "@longwire/protocol";

/** What a frame has beside channel, name, user and data. */
const FRAME_BYTES = 64;

/**
 * waiting: nothing is known of the client yet. connecting: its token is being checked. open: it may act.
 * closing: goodbye is said, the transport has not confirmed. closed: the connection is gone.
 */
export type SessionState = "waiting" | "connecting" | "open" | "closing" | "closed";

export const ANONYMOUS: Identity = Object.freeze({
  user: undefined,
  expiresAt: undefined,
  channels: Object.freeze([]),
  info: undefined,
  allow: undefined,
});

/** What the application keeps with a session, beside what the client brings: it survives a resume. */
export interface SessionLuggage {
  /** Bound by the application (`…/user`), in place of the token's user. */
  readonly boundUser: string | undefined;
  /** Channels the application has subscribed the session to. */
  readonly channels: readonly string[];
  readonly data: { readonly [key: string]: Json };
  /** Shared values that belong to the session, see `bound-state.ts`. */
  readonly keys: readonly string[];
}

export const NO_LUGGAGE: SessionLuggage = Object.freeze({
  boundUser: undefined,
  channels: Object.freeze([]),
  data: Object.freeze({}),
  keys: Object.freeze([]),
});

export class Session implements SessionHandle, WheelItem {
  state: SessionState = "waiting";
  identity: Identity = ANONYMOUS;
  client: string | undefined = undefined;
  luggage: SessionLuggage = NO_LUGGAGE;
  subscriptions: readonly Subscription[] = NO_SUBSCRIPTIONS;
  /** Where its cursor comes from; null: not asked for since its subscriptions changed. */
  cursorGroup: CursorGroup | null = null;
  /** Frames waiting for the end of this turn; null when there are none. */
  outbox: Frame[] | null = null;
  outboxBytes = 0;
  /** Messages that wait for a command that has to be finished first; null: nothing is going on. */
  pending: Frame[] | null = null;
  pendingBytes = 0;
  /** Commands that wait for the application's answer, by channel; null: it was never asked. */
  lanes: Lanes | null = null;
  /** Shown to the application when it is asked who this is; null as soon as that is known. */
  request: RequestView | null = null;
  /** Commands that are being carried out. */
  running = 0;
  /** Who waits for all of them to be done. */
  settleWaiters: (() => void)[] | null = null;
  /** Replays that wait for the client to read. */
  drainWaiters: (() => void)[] | null = null;
  /** The last sign of life, as `clock.uptime` counts. */
  heardAt: number;
  /** When the next ping is due, counted likewise. */
  pingAt: number;
  /** When what is kept of it for a crash is to be kept for longer, counted likewise; Infinity: there is nothing. */
  renewAt = Infinity;
  /** The store has what a resume needs until then (Unix milliseconds); 0: it has nothing, or not the latest; Infinity: it need not. */
  keptUntil = 0;
  /** It lasts for a few commands that speak for another session. */
  fleeting = false;
  /** A `connect` has failed: only another one may follow, so that nobody becomes anonymous by a bad token. */
  wasRefused = false;
  /** Its goodbye said that it shall not come back. */
  wasSentAway = false;
  /** The client asked for JSON pings. */
  jsonPing = false;
  /** What it may still ask for; null: it has not asked lately. */
  allowance: Allowance | null = null;
  slot = 0;

  constructor(
    public id: string,
    readonly connection: Connection,
    public protocol: Protocol,
    /** Unix milliseconds. */
    readonly openedAt: number,
    uptime: number,
    pingIntervalMs: number,
  ) {
    this.heardAt = uptime;
    this.pingAt = uptime + pingIntervalMs;
  }

  /** Who this is: bound by the application, else by its token. */
  get user(): string | undefined {
    return this.luggage.boundUser ?? this.identity.user;
  }

  /** A linear search: most sessions have a handful, and a map costs each of 15,000 idle sessions several hundred bytes. */
  subscription(channel: string): Subscription | undefined {
    for (const subscription of this.subscriptions) if (subscription.channel.name === channel) return subscription;
    return undefined;
  }

  /** Lets replays that wait for the client look again. */
  wake(): void {
    const waiters = this.drainWaiters;
    this.drainWaiters = null;
    if (waiters !== null) for (const waiter of waiters) waiter();
  }

  /** Its queue on the way out, in bytes. */
  get queueBytes(): number {
    return this.outboxBytes + this.connection.buffered();
  }
}

/**
 * How the hub reaches the session: `catching`: not yet, a replay is on its way; `topic`: by the native topic of its wire
 * form; `direct`: one by one (transports without topics, filters, personal channels); `ended`: no more.
 */
export type Reach = "catching" | "topic" | "direct" | "ended";

export class Subscription {
  reach: Reach = "catching";
  /** While catching: everything up to here was sent or skipped on purpose; -1 as long as `subscribed` has not been said. */
  position = -1;
  /** Shown as present, with this data (`undefined`: no data). null: not present. */
  member: { readonly data: Json | undefined } | null = null;

  constructor(
    readonly session: Session,
    readonly channel: LocalChannel,
    /** false: without its own publications. */
    readonly echo: boolean,
    /** Receives join and leave. */
    readonly events: boolean,
    /** Opened by a token for this one channel. */
    readonly byToken: boolean,
  ) {}
}

/** The connections of one wire form and one fanout that follow a channel through a native topic. */
export interface TopicGroup {
  readonly form: string;
  readonly fanout: Fanout;
  readonly topic: string;
  readonly frame: Framer;
  members: number;
}

/** A channel with subscribers in this process. */
export class LocalChannel {
  epoch = "";
  /** Offset of the last publication handed on to the subscribers here. */
  delivered = 0;
  /** Resolves when the broker delivers to us and `epoch` and `delivered` are known; null once that is so. */
  starting: Promise<void> | null = null;
  subscriptions: Few<Subscription> = null;
  groups: readonly TopicGroup[] = NO_GROUPS;
  /** Sessions reached one by one, apart, so that a fan-out need not walk through all subscriptions. */
  direct: Few<Subscription> = null;
  /** Those of them that a publication has excluded from their topic, with the uptime of the last one: the longest ago first. */
  excluded: Map<Subscription, number> | null = null;
  catching = 0;
  /** How many want join and leave. */
  watchers = 0;
  /** What came while somebody is catching up. */
  ring: Ring<Publication> | null = null;
  /** Publications that wait: for a hole before them to be filled, or for the next turn. */
  backlog: Publication[] | null = null;
  backlogBytes = 0;
  /** A hole is being filled from the history, or the channel is being taken up anew after a change of epoch. */
  mending = false;
  /** Another epoch was heard of meanwhile. */
  renumbered = false;
  turnBytes = 0;
  /** Some topic subscriber is backed up: look before the next publish. */
  suspect = false;

  constructor(
    readonly name: string,
    public options: ChannelOptions,
  ) {}

  /** About the length of the publication's frame: many publications with short data are long all the same. */
  weigh({ data, name, user }: Publication): number {
    return FRAME_BYTES + this.name.length + data.length + (name?.length ?? 0) + (user?.length ?? 0);
  }
}

/** The cursor of all sessions that are live on the same channels; see `cursors.ts`. */
export class CursorGroup {
  cursor = "";
  readonly #offsets: number[];
  readonly #epochs: string[];

  constructor(readonly channels: readonly LocalChannel[]) {
    this.#offsets = channels.map(() => -1);
    this.#epochs = channels.map(() => "");
  }

  isFresh(): boolean {
    for (let at = 0; at < this.channels.length; at++) {
      const { delivered, epoch } = this.channels[at] as LocalChannel;
      if (delivered !== this.#offsets[at] || epoch !== this.#epochs[at]) return false;
    }
    return true;
  }

  renew(cursor: string): void {
    this.cursor = cursor;
    this.channels.forEach(({ delivered, epoch }, at) => {
      this.#offsets[at] = delivered;
      this.#epochs[at] = epoch;
    });
  }
}

/** Shared by all channels without topics. */
export const NO_GROUPS: readonly TopicGroup[] = [];

/** Shared by all sessions without subscriptions. */
const NO_SUBSCRIPTIONS: readonly Subscription[] = [];
