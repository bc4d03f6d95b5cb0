/** Transport: how frames travel. The client knows only this contract. */
import type { ServerFrame } from "@longwire/protocol";
import type { Draft } from "../requests.ts";

/** In the order of preference: each works where the one before may be blocked, and costs more. */
export const TRANSPORT_NAMES = ["websocket", "stream", "sse", "poll"] as const;

export type TransportName = (typeof TRANSPORT_NAMES)[number];

/** The code of an end without a goodbye, as of a socket that broke (RFC 6455, 7.1.5). */
export const BROKEN = 1006;

/** A command that says who the client is, or what it wants to hear. */
export type Standing = Extract<Draft, { readonly type: "connect" | "subscribe" }>;

export interface TransportHandlers {
  /** All that stands, the greeting first: what a transport has to say again with each request. */
  standing(): readonly Standing[];
  /** The way is open: frames can be sent. */
  opened(): void;
  /** One whole frame, read already or as text; empty text is a sign of life alone. */
  received(message: ServerFrame | string): void;
  /** The way is gone, or never opened. Called at most once, and last. `after`: come back no sooner, in milliseconds. */
  closed(code: number, reason: string, after?: number): void;
}

export interface Link {
  /** May be called between `opened` and the end; commands take effect in the order of the calls. */
  send(text: string): void;
  /** No handler is called any more from here on. */
  close(): void;
}

export interface Transport {
  readonly name: TransportName;
  /** May throw where the url cannot be used at all. No handler is called before it returns. */
  open(url: string, handlers: TransportHandlers): Link;
}
