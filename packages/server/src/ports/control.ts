/**
 * Control: what a backend may ask of the gateway. Implemented by `core/control`; the HTTP API, the console and foreign
 * HTTP APIs translate to it. Rights (API keys, scopes) are checked by the caller; names and sizes are checked here.
 *
 * Every method rejects with `ReplyError` where the request cannot be met (`badChannel`, `notFound`, `conflict`,
 * `tooLarge`, `tooDeep`, `unavailable`, …).
 */
import type { HistoryEntry, Json, Member, Position } from "@longwire/protocol";

export interface PublishRequest {
  readonly channel: string;
  /** JSON text. */
  readonly data: string;
  /** `data` is a JSON string of base64 that stands for bytes. */
  readonly encoding?: "base64" | undefined;
  readonly name?: string | undefined;
  readonly key?: string | undefined;
  /** Session that must not get it. */
  readonly exclude?: string | undefined;
  /** false: to those connected now, neither numbered nor kept. */
  readonly history?: boolean | undefined;
}

/**
 * `offset` is absent for `history: false`. `online`: somebody was subscribed; `subscribers`: how many sessions. `approximate`: others than this
 * process have some of them, counted within the last second, or each as one at least.
 */
export interface PublishAnswer {
  readonly channel: string;
  readonly epoch: string;
  readonly offset?: number;
  readonly online: boolean;
  readonly subscribers: number;
  readonly approximate?: true;
}

/** Pages go by name: pass the last name of a page as `after`. */
export interface Page {
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface ChannelView {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  /** Publications in the history. */
  readonly kept: number;
  readonly subscribers: number;
  readonly users: number;
}

export interface PresenceView {
  readonly members: readonly Member[];
  readonly users: number;
  readonly sessions: number;
}

export interface HistoryRequest {
  readonly since?: Position | "earliest" | "latest" | undefined;
  readonly limit?: number | undefined;
  readonly reverse?: boolean | undefined;
}

export interface HistoryView {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly publications: readonly HistoryEntry[];
  readonly more: boolean;
}

export interface UserView {
  readonly user: string;
  readonly online: boolean;
  readonly sessions: readonly SessionView[];
}

export interface UserDisconnection {
  readonly reason?: string | undefined;
  /** Whether the clients may come back. */
  readonly reconnect: boolean;
  /** For how long tokens that were issued before are refused. */
  readonly revokeMs?: number | undefined;
}

/** In Unix milliseconds. */
export interface RevocationView {
  readonly user: string;
  /** Tokens issued before this are refused. */
  readonly revokedAt: number;
  readonly until: number;
}

export interface UserSummary {
  readonly user: string;
  readonly sessions: number;
}

export interface SessionView {
  readonly session: string;
  readonly user?: string;
  readonly client?: string;
  readonly protocol: string;
  readonly address: string;
  /** Unix milliseconds. */
  readonly since: number;
  readonly channels: readonly string[];
  readonly bufferedBytes: number;
}

/** Sums over all processes that answered; times and version are of the one that was asked. */
export interface StatsView {
  /** Workers of all nodes; those that did not answer are not counted in. */
  readonly processes: number;
  readonly sessions: number;
  readonly users: number;
  readonly channels: number;
  readonly subscriptions: number;
  /** Since the start. */
  readonly publications: number;
  readonly deliveries: number;
  readonly uptimeMs: number;
  readonly version: string;
}

export interface Control {
  publish(request: PublishRequest): Promise<PublishAnswer>;

  channels(query: Page & { readonly prefix?: string | undefined }): Promise<{ channels: ChannelView[]; more: boolean }>;
  channel(channel: string): Promise<ChannelView>;
  presence(channel: string): Promise<PresenceView>;
  history(channel: string, request: HistoryRequest): Promise<HistoryView>;
  clearHistory(channel: string): Promise<void>;

  users(query: Page): Promise<{ users: UserSummary[]; more: boolean }>;
  user(user: string): Promise<UserView>;
  /** Ends all sessions of the user; resolves to how many. */
  disconnectUser(user: string, options: UserDisconnection): Promise<number>;
  /** Rejects with `notFound` where there is none; so does the next one. */
  revocation(user: string): Promise<RevocationView>;
  liftRevocation(user: string): Promise<void>;
  /** Subscribes all sessions of the user from now on; resolves to how many sessions are subscribed after it. */
  subscribeUser(user: string, channel: string): Promise<number>;
  unsubscribeUser(user: string, channel: string): Promise<number>;

  sessions(query: Page): Promise<{ sessions: SessionView[]; more: boolean }>;
  session(session: string): Promise<SessionView>;
  /** Speaks to one session alone: a `message` without channel and offset. `data` is JSON text. */
  send(session: string, message: Pick<PublishRequest, "data" | "encoding" | "name">): Promise<void>;
  disconnectSession(
    session: string,
    options: { readonly reason?: string | undefined; readonly reconnect: boolean },
  ): Promise<void>;
  subscribeSession(session: string, channel: string): Promise<void>;
  unsubscribeSession(session: string, channel: string): Promise<void>;
  /** Binds a user to the session: identity by login. null takes it away. */
  bindUser(session: string, user: string | null): Promise<void>;
  /** The application's data of a session: a JSON object. Survives a resume. */
  sessionData(session: string): Promise<{ readonly [key: string]: Json }>;
  putSessionData(session: string, data: { readonly [key: string]: Json }): Promise<void>;
  /** Merges: a null removes its key. Resolves to the result. */
  patchSessionData(session: string, data: { readonly [key: string]: Json }): Promise<{ readonly [key: string]: Json }>;

  /** A shared value; `ReplyError(notFound)` if there is none. */
  state(key: string): Promise<Json>;
  setState(key: string, value: Json, ttlMs: number | undefined): Promise<void>;
  addState(key: string, amount: number, ttlMs: number | undefined): Promise<number>;
  /** The key belongs to the session from now on, and is removed when it ends for good; so with the next one. */
  setSessionState(session: string, key: string, value: Json): Promise<void>;
  addSessionState(session: string, key: string, amount: number): Promise<number>;
  removeState(key: string): Promise<void>;

  stats(): Promise<StatsView>;
}
