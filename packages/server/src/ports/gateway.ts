/** Gateway: what transports call. Implemented by `core/gateway`. */
import type { Position } from "@longwire/protocol";
import type { Disconnect } from "../base/failures.ts";
import type { Connection, Frame } from "./connection.ts";
import type { Protocol } from "./protocol.ts";

/** What the application is shown of the request that a connection began with. */
export interface RequestView {
  /** How it came: `websocket`, `sse`, `stream`, `poll`, `send` or `tcp`. */
  readonly transport: string;
  /** The configured ones that are there, by their names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The parameters that are not the gateway's own. */
  readonly query: Readonly<Record<string, string>>;
}

/** What the client said by the way it connected, before any frame. */
export interface Handshake {
  /** From the query. With a token or channels the session connects at once, without waiting for `connect`. */
  readonly token?: string | undefined;
  /** From a header or a cookie: counts where the client itself brings no token, and connects nobody by itself. */
  readonly requestToken?: string | undefined;
  readonly client?: string | undefined;
  readonly session?: string | undefined;
  /** What is wrong with it: the client is told so and sent away. */
  readonly fault?: string | undefined;
  /** Why it is not let in: it is told so and sent away. */
  readonly refusal?: Disconnect | undefined;
  readonly channels: readonly string[];
  readonly since?: "earliest" | "latest" | "inbox" | ReadonlyMap<string, Position> | undefined;
  /**
   * The session lasts for a few commands that speak for `session` (its user, its own publications): it takes nothing up, gets no
   * channels and is listed nowhere.
   */
  readonly fleeting?: true;
  /** There only where the application is asked who connects: nobody else shall hold it. */
  readonly request?: RequestView | undefined;
}

/** A session as a transport sees it. */
export interface SessionHandle {
  readonly id: string;
}

export interface Gateway {
  open(connection: Connection, protocol: Protocol, handshake: Handshake): SessionHandle;
  /** One whole message from the client. Never throws. */
  receive(session: SessionHandle, data: Frame): void;
  /**
   * Resolves when all that was received so far, the handshake included, has been carried out and answered, and the answers have been handed
   * to the connection; or when the session has ended. Replays may go on.
   */
  settled(session: SessionHandle): Promise<void>;
  /** The client will say no more. Resolves when it has its answers, to whether it is subscribed to anything that it may still want to read. */
  ended(session: SessionHandle): Promise<boolean>;
  /** The client's side took what was queued. */
  drained(session: SessionHandle): void;
  /** The connection's queue has grown behind the core's back (by topics): to be looked at. */
  strained(session: SessionHandle): void;
  /** Any sign of life that is no message. */
  heard(session: SessionHandle): void;
  /**
   * The session's positions up to what was handed to the connection, as a cursor: frames that still wait for the end of the turn are handed
   * over first. Empty while there is no subscription; undefined while the protocol carries cursors in its frames, or some subscription has not
   * been answered yet. More channels than a cursor holds end the session.
   */
  cursor(session: SessionHandle): string | undefined;
  /** The client did what its transport forbids: say goodbye. `detail` is added to the reason. */
  violated(session: SessionHandle, disconnect: "badRequest" | "messageTooLarge", detail?: string): void;
  /** The connection is gone; called exactly once per open. `code` and `reason` as the transport knows them, for logs. */
  closed(session: SessionHandle, code: number, reason: string): void;
}
