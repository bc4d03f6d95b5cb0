/**
 * Framing: how messages stand in a stream of bytes. Three pure functions, after Workerman's ProtocolInterface; an application's own is a
 * module that exports one as `framing`.
 */
import type { Frame } from "./connection.ts";

/** Why bytes are no message of this framing; the connection ends with these words. */
export class FramingFault extends Error {}

export interface Framing {
  /**
   * How many bytes the first packet has, delimiters included, also when not all of them are there; 0: that cannot be told yet. Called again
   * with everything when more has come, so the cost of looking must not grow with what was seen before: `from` is how
   * many bytes an earlier call has seen. Throws `FramingFault`.
   */
  input(bytes: Uint8Array, from: number): number;
  /** The message of one packet, or null for one that says nothing. Throws `FramingFault`. */
  decode(packet: Uint8Array): Frame | null;
  /** The packet of one message. */
  encode(message: Frame): Uint8Array;
  /** A packet that says nothing, where there is one: by sending it the server learns whether a client that has closed its side still reads. */
  readonly idle?: Uint8Array;
}
