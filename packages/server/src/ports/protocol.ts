/** Protocol: what is said on a connection. Pure: it knows neither socket nor session. */
import type { Command, FramedHistory, ServerFrame } from "@longwire/protocol";
import type { Publication } from "./broker.ts";

export interface Protocol {
  /** The wire form: connections with the same form receive the same bytes for the same publication. Part of topic names. */
  readonly form: string;
  /** Reads what a client sent. Throws `ReplyError` (with the command's id in `CommandFault`) or `Disconnect`. */
  decode(data: string): Command;
  /** Text of a frame, or null where this form has no word for it (bare data has no replies). */
  encode(frame: ServerFrame): string | null;
  /** The same for `history`, which may be long: its data are text already. */
  encodeHistory(history: FramedHistory): string | null;
  /** Prepares the framing of a channel's publications, so that what they share is made once. */
  framer(channel: string): (publication: Publication) => string;
}
