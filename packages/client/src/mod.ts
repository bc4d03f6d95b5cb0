/** Public door of `@longwire/client`. */
export type { Json, Member, Position, Since } from "@longwire/protocol";
export type { Backoff, Jitter } from "./backoff.ts";
export { Channel, type History, type HistoryOptions, type Presence, type PublishOptions } from "./channel.ts";
export { Client, type ClientEvents, connect } from "./client.ts";
export { type FailureReason, LongwireError } from "./failures.ts";
export type { Message } from "./decode.ts";
export type { ClientOptions } from "./options.ts";
export type { Clock, StorageLike, Surroundings, SurroundingsEvent, Timer, WebSocketConstructor } from "./platform.ts";
export type { WebSocketLike } from "./platform.ts";
export type { ChannelState, ConnectionState } from "./state.ts";
export type { ChannelEvents, ChannelOptions, Subscribed } from "./subscription.ts";
