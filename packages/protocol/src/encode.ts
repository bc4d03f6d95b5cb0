/**
 * Writes frames. A publication's `data` travels as the JSON text it was stored as, so a fan-out never parses or prints it
 * again; the prefix of a channel's frames is made once per channel.
 */
import type { HistoryFrame, ServerFrame } from "./messages.ts";

/** A publication ready to be framed: `data` is JSON text. */
export interface FramedPublication {
  readonly offset?: number | undefined;
  readonly data: string;
  readonly encoding?: "base64" | undefined;
  readonly name?: string | undefined;
  readonly user?: string | undefined;
}

/** A `history` whose publications have their `data` as JSON text. */
export interface FramedHistory extends Omit<HistoryFrame, "type" | "publications"> {
  readonly publications: readonly (FramedPublication & { readonly offset: number; readonly time: number })[];
}

/** Text of any frame. `JSON.stringify` writes lone surrogates as escapes, so the text is always good UTF-8. */
export function encodeFrame(frame: ServerFrame): string {
  return JSON.stringify(frame);
}

/** What every `message` of a channel begins with; cache it per channel. */
export function messagePrefix(channel: string): string {
  return `{"type":"message","channel":${JSON.stringify(channel)}`;
}

/** Text of a `message`: `prefix` from `messagePrefix`, or `{"type":"message"` for a message to one session alone. */
export function encodeMessage(prefix: string, publication: FramedPublication): string {
  let text = prefix;
  if (publication.offset !== undefined) text += `,"offset":${publication.offset}`;
  return `${text}${labelsOf(publication)},"data":${publication.data}}`;
}

/** Text of a `history`, the same as `encodeFrame` writes. */
export function encodeHistory({ publications, more, ...head }: FramedHistory): string {
  const entries = publications.map(
    (entry) => `{"offset":${entry.offset},"data":${entry.data}${labelsOf(entry)},"time":${entry.time}}`,
  );
  const prefix = JSON.stringify({ type: "history", ...head }).slice(0, -1);
  return `${prefix},"publications":[${entries.join(",")}],"more":${more}}`;
}

function labelsOf({ encoding, name, user }: FramedPublication): string {
  let text = encoding === undefined ? "" : `,"encoding":"${encoding}"`;
  if (name !== undefined) text += `,"name":${JSON.stringify(name)}`;
  if (user !== undefined) text += `,"user":${JSON.stringify(user)}`;
  return text;
}
