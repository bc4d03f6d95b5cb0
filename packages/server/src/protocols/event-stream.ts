/**
 * Event streams: another protocol's frames as events, with the cursor in `id:`.
 *
 * With one channel the cursor stands in the event itself, so an EventSource moves to it in the same step in which it hands the event to the
 * page: exactly once. Shared by all its subscribers, an event cannot carry the positions of other channels; with several the
 * transport writes each session's cursor apart.
 */
import { encodeCursor, type FramedHistory, type Position, type ServerFrame } from "@longwire/protocol";
import type { Frame } from "../ports/connection.ts";
import type { Protocol } from "../ports/protocol.ts";
import { eventText, idText, retryText } from "../wire/sse.ts";

export interface EventStreamOptions {
  /** Publications' names as the events' types. */
  readonly named: boolean;
}

/** `inner` must be of text frames. */
export function eventStreamProtocol(inner: Protocol, { named }: EventStreamOptions): Protocol {
  const form = `${inner.form} events${named ? " named" : ""}`;
  const event = (name: string | undefined): string | undefined => (named ? name : undefined);
  const ways = (carriesCursor: boolean): Pick<Protocol, "encode" | "encodeHistory" | "framer"> => ({
    encode(frame, isKnown) {
      const text = inner.encode(frame, isKnown);
      const id = carriesCursor && frame.type === "subscribed" ? cursorAt(frame.channel, frame) : undefined;
      const name = frame.type === "message" ? event(frame.name) : undefined;
      return introduction(frame) + (text === null ? idOnly(id) : eventText(textOf(text), { id, event: name })) || null;
    },
    encodeHistory(history: FramedHistory) {
      const text = inner.encodeHistory(history);
      return text === null ? null : eventText(textOf(text));
    },
    framer(channel) {
      const frame = inner.framer(channel);
      return (publication, epoch) => {
        const { offset, name } = publication;
        const id = carriesCursor && offset > 0 ? cursorAt(channel, { epoch, offset }) : undefined;
        return eventText(textOf(frame(publication, epoch)), { id, event: event(name) });
      };
    },
  });
  const several: Protocol = { ...inner, ...ways(false), form, cursorApart: true };
  return { ...inner, ...ways(true), form: `${form} id`, several };
}

function introduction(frame: ServerFrame): string {
  return frame.type === "disconnect" && frame.after !== undefined ? retryText(frame.after) : "";
}

function idOnly(id: string | undefined): string {
  return id === undefined ? "" : idText(id);
}

function cursorAt(channel: string, { epoch, offset }: Position): string | undefined {
  return encodeCursor(new Map([[channel, { epoch, offset }]]));
}

function textOf(frame: Frame): string {
  if (typeof frame !== "string") throw new TypeError("an event stream carries text");
  return frame;
}
