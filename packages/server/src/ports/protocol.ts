/** Protocol: what is said on a connection. Pure: it knows neither socket nor session. */
import type { Command, FramedHistory, ServerFrame } from "@longwire/protocol";
import type { Publication } from "./broker.ts";
import type { Frame } from "./connection.ts";

/**
 * A message without envelope (raw WebSocket, lines and bodies over TCP), for the channel of its connection. The application may decide
 * what becomes of it; without one it is published. `data` is JSON text; `encoding` says that it came as bytes.
 */
export interface BareMessage {
  readonly type: "bare";
  readonly channel: string;
  readonly data: string;
  readonly encoding?: "base64";
}

export type Input = Command | BareMessage;

/** Makes the frame of a publication; `epoch` is that of its channel at this moment. */
export type Framer = (publication: Publication, epoch: string) => Frame;

export interface Protocol {
  /** The wire form: connections with the same form receive the same bytes for the same publication. Part of topic names. */
  readonly form: string;
  /** Reads what a client sent. Throws `CommandFault` (with the command's id), or `Disconnect`. */
  decode(data: Frame): Input;
  /**
   * A frame as it goes out, or null where this form has no word for it (bare data has no replies). `isKnown`: it says nothing that a client which
   * returns does not know.
   */
  encode(frame: ServerFrame, isKnown?: boolean): Frame | null;
  /** The same for `history`, which may be long: its data are text already. */
  encodeHistory(history: FramedHistory): Frame | null;
  /** Prepares the framing of a channel's publications, so that what they share is made once. */
  framer(channel: string): Framer;
  /**
   * What takes its place from the second subscription on, where frames carry the session's whole cursor: shared by all sessions, they
   * can do so for one channel only.
   */
  readonly several?: Protocol;
  /** The transport writes the session's cursor (`Gateway.cursor`) apart from the frames. */
  readonly cursorApart?: true;
}
