/** Bare data where a line break ends a message: what holds one is sent as JSON text, in which line breaks are escapes. */
import type { Frame } from "../ports/connection.ts";
import type { Protocol } from "../ports/protocol.ts";

/** `inner` must be of text frames without cursors. */
export function lineProtocol(inner: Protocol): Protocol {
  return {
    ...inner,
    form: `${inner.form} lines`,
    encode: (frame, isKnown) => inLine(inner.encode(frame, isKnown)),
    framer(channel) {
      const framed = inner.framer(channel);
      return (publication, epoch) => inLine(framed(publication, epoch));
    },
  };
}

function inLine<F extends Frame | null>(frame: F): F | string {
  return typeof frame === "string" && /[\r\n]/.test(frame) ? JSON.stringify(frame) : frame;
}
