/** Connection: the way out to one client. A transport implements it; it only writes and closes. */
import type { Disconnect } from "../base/failures.ts";

/** A whole message: text, or bytes where the transport keeps the two apart (a binary WebSocket message). */
export type Frame = string | Uint8Array;

/** Native topics of a transport that has them: one call reaches every connection that joined. */
export interface Fanout {
  /**
   * Hands the frame to all connections that have joined the topic; frames of one turn of the event loop share writes.
   * Returns false when some connection of the topic is backed up and should be looked at; a fanout that tells
   * `Gateway.strained` by itself always returns true.
   */
  publish(topic: string, frame: Frame): boolean;
}

/**
 * What a client's silence says. `pongs`: it answers `ping` by itself, so silence means that it is gone. `frames`: only if it asked for
 * JSON pings. `nothing`: the way leads out only; the transport, or the kernel, finds out.
 */
export type Hearing = "pongs" | "frames" | "nothing";

export interface Connection {
  /** Where the client is: its address, for logs. */
  readonly address: string;
  /** The topics it can join; null: it must be sent to one by one. */
  readonly fanout: Fanout | null;
  readonly hearing: Hearing;
  /** Queues the frames in order, in one write where possible. After `close` or when the client is gone: nothing happens. */
  send(frames: readonly Frame[]): void;
  /** Bytes accepted by `send` and topics that the client's side has not taken yet. */
  buffered(): number;
  /** Frames published to the topic from now on, also later in this turn, arrive; earlier ones do not. Order with `send` is kept. */
  join(topic: string): void;
  /** What was published before still arrives. */
  leave(topic: string): void;
  /** Stops reading from the client until `resume`; what was read already may still arrive. */
  pause(): void;
  resume(): void;
  /** Shows the client, and whatever is on the way, that the connection is in use; see `hearing`. */
  ping(): void;
  /** Says goodbye behind what is queued, and closes. */
  close(goodbye: Disconnect): void;
  /** Cuts without a word: for a client that does not read even the goodbye. */
  cut(): void;
}
