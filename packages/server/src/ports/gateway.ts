/** Gateway: what transports call. Implemented by `core/gateway`. */
import type { Position } from "@longwire/protocol";
import type { Connection } from "./connection.ts";
import type { Protocol } from "./protocol.ts";

/** What the client said by the way it connected, before any frame. */
export interface Handshake {
  /** From the query. With a token or channels the session connects at once, without waiting for `connect`. */
  readonly token?: string | undefined;
  readonly client?: string | undefined;
  readonly session?: string | undefined;
  /** What is wrong with it: the client is told so and sent away. */
  readonly fault?: string | undefined;
  readonly channels: readonly string[];
  readonly since?: "earliest" | "latest" | "inbox" | ReadonlyMap<string, Position> | undefined;
}

/** A session as a transport sees it. */
export interface SessionHandle {
  readonly id: string;
}

export interface Gateway {
  open(connection: Connection, protocol: Protocol, handshake: Handshake): SessionHandle;
  /** One whole message from the client. Never throws. */
  receive(session: SessionHandle, data: string): void;
  /** The client's side took what was queued. */
  drained(session: SessionHandle): void;
  /** Any sign of life that is no message. */
  heard(session: SessionHandle): void;
  /** The client did what its transport forbids (a binary frame in a text protocol): say goodbye. */
  violated(session: SessionHandle, disconnect: "binaryFrame" | "messageTooLarge"): void;
  /** The connection is gone; called exactly once per open. `code` and `reason` as the transport knows them, for logs. */
  closed(session: SessionHandle, code: number, reason: string): void;
}
