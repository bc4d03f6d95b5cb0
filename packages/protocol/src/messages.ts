/**
 * The frames of the native protocol, version 1: JSON objects with a `type`. Every time on the wire is in milliseconds.
 * SPEC.md numbers the rules; this file is their vocabulary.
 */
import type { HistoryEntry, Json, Member, Position, Since } from "./publication.ts";

/** Fields of every command. A command with an `id` (a positive integer) gets a reply that repeats it. */
export interface Identified {
  readonly id?: number;
}

/** Says who the client is. The first frame; without it the first other frame connects anonymously. */
export interface ConnectCommand extends Identified {
  readonly type: "connect";
  readonly token?: string;
  /** Names the device: the user's inbox positions are then kept for this device alone. Obeys the rules of user names. */
  readonly client?: string;
  /** The session to resume. */
  readonly session?: string;
  /** Asks for JSON `ping` frames, for clients that cannot see WebSocket's own. */
  readonly ping?: boolean;
  /** Positions for channels that the server subscribes by itself (personal channel, the token's `channels`). */
  readonly since?: Readonly<Record<string, Position>>;
}

export interface SubscribeCommand extends Identified {
  readonly type: "subscribe";
  readonly channel: string;
  readonly since?: Since;
  /** A token for this channel alone. */
  readonly token?: string;
  /** `false`: not listed as present; `true`: listed; any other JSON value: listed, and shown to others as the member's `data`. */
  readonly presence?: Json;
  /** Receive `join` and `leave`. */
  readonly events?: boolean;
  /** `false`: without the session's own publications. */
  readonly echo?: boolean;
}

export interface UnsubscribeCommand extends Identified {
  readonly type: "unsubscribe";
  readonly channel: string;
}

export interface PublishCommand extends Identified {
  readonly type: "publish";
  readonly channel: string;
  readonly data: Json;
  /** `data` is a string of base64 (RFC 4648 section 4, padded) that stands for bytes. */
  readonly encoding?: "base64";
  readonly name?: string;
  /** Idempotency key: the same key again is stored once and answered with the first answer. */
  readonly key?: string;
}

/** Everything up to `offset` has been handled by the user; moves the inbox position. */
export interface AckCommand extends Identified {
  readonly type: "ack";
  readonly channel: string;
  readonly offset: number;
  /** The offset counts in this epoch only. */
  readonly epoch?: string;
}

export interface PresenceCommand extends Identified {
  readonly type: "presence";
  readonly channel: string;
}

export interface HistoryCommand extends Identified {
  readonly type: "history";
  readonly channel: string;
  /** Publications after this position (before it, with `reverse`). */
  readonly since?: Position | "earliest" | "latest";
  readonly limit?: number;
  readonly reverse?: boolean;
}

/** A question to the application behind the gateway. */
export interface CallCommand extends Identified {
  readonly type: "call";
  readonly method: string;
  readonly data?: Json;
}

/** A new token for the same user, before the old one expires. */
export interface RefreshCommand extends Identified {
  readonly type: "refresh";
  readonly token: string;
}

export interface PingCommand extends Identified {
  readonly type: "ping";
}

export interface PongCommand extends Identified {
  readonly type: "pong";
}

export type Command =
  | ConnectCommand
  | SubscribeCommand
  | UnsubscribeCommand
  | PublishCommand
  | AckCommand
  | PresenceCommand
  | HistoryCommand
  | CallCommand
  | RefreshCommand
  | PingCommand
  | PongCommand;

export type CommandType = Command["type"];

export interface ConnectedFrame extends Identified {
  readonly type: "connected";
  readonly session: string;
  readonly user?: string;
  /** The server is silent for at most this long; a client that hears nothing for twice as long should come back. */
  readonly ping: number;
  /** How long the token is good from now on. */
  readonly expires?: number;
  /** Only in answer to a `connect` with a `session`: whether that session went on. */
  readonly resumed?: boolean;
}

/**
 * The stream of the channel continues after this position: the next `message` is offset + 1 or later, never one before.
 * `recovered: false`: what lay between the asked position and this one is not to be had.
 */
export interface SubscribedFrame extends Identified {
  readonly type: "subscribed";
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly recovered: boolean;
}

/** Answer to `unsubscribe`; without `id`, with `code` and `reason`, when the server ended the subscription. */
export interface UnsubscribedFrame extends Identified {
  readonly type: "unsubscribed";
  readonly channel: string;
  readonly code?: number;
  readonly reason?: string;
}

export interface PublishedFrame extends Identified {
  readonly type: "published";
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
}

export interface AckedFrame extends Identified {
  readonly type: "acked";
  readonly channel: string;
  readonly offset: number;
}

/** `users` counts people (a user with three tabs once, an anonymous session once), `sessions` counts sessions. */
export interface PresenceFrame extends Identified {
  readonly type: "presence";
  readonly channel: string;
  readonly members: readonly Member[];
  readonly users: number;
  readonly sessions: number;
}

/** `offset` is the top of the channel; `more`: there are further publications in the direction asked. */
export interface HistoryFrame extends Identified {
  readonly type: "history";
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly publications: readonly HistoryEntry[];
  readonly more: boolean;
}

export interface ResultFrame extends Identified {
  readonly type: "result";
  readonly data: Json;
}

export interface RefreshedFrame extends Identified {
  readonly type: "refreshed";
  readonly expires?: number;
}

/** `retry`: not before so many milliseconds. */
export interface ErrorFrame extends Identified {
  readonly type: "error";
  readonly code: number;
  readonly message: string;
  readonly retry?: number;
}

/**
 * A publication. `offset` is missing where it is not kept (`history: false`); `channel` is missing too where the server
 * spoke to this session alone.
 */
export interface MessageFrame {
  readonly type: "message";
  readonly channel?: string;
  readonly offset?: number;
  readonly data: Json;
  /** `data` is base64 that stands for bytes. */
  readonly encoding?: "base64";
  readonly name?: string;
  readonly user?: string;
}

export interface JoinFrame {
  readonly type: "join";
  readonly channel: string;
  readonly member: Member;
}

export interface LeaveFrame {
  readonly type: "leave";
  readonly channel: string;
  readonly member: Member;
}

export interface PingFrame {
  readonly type: "ping";
}

export interface PongFrame extends Identified {
  readonly type: "pong";
}

/** Goodbye, sent before the connection closes. `after`: come back no sooner than this. */
export interface DisconnectFrame {
  readonly type: "disconnect";
  readonly code: number;
  readonly reason: string;
  readonly reconnect: boolean;
  readonly after?: number;
}

export type ServerFrame =
  | ConnectedFrame
  | SubscribedFrame
  | UnsubscribedFrame
  | PublishedFrame
  | AckedFrame
  | PresenceFrame
  | HistoryFrame
  | ResultFrame
  | RefreshedFrame
  | ErrorFrame
  | MessageFrame
  | JoinFrame
  | LeaveFrame
  | PingFrame
  | PongFrame
  | DisconnectFrame;
