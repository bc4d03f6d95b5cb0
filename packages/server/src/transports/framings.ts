/** The framings that come with the server (SPEC.md, group TC). */
import type { Frame } from "../ports/connection.ts";
import { type Framing, FramingFault } from "../ports/framing.ts";
import { PREFIX_BYTES, prefixedLength, withoutPrefix, withPrefix } from "../wire/length-prefix.ts";
import { lineContent, lineLength, lineOf, utf8Text } from "../wire/lines.ts";

const NUL = 0;

/** Frames of the native protocol, one per line. A line that is no UTF-8 stays bytes: the protocol answers it, and the next line may be good. */
export const jsonFraming: Framing = {
  input: lineLength,
  decode(packet) {
    const line = lineContent(packet);
    return line.length === 0 ? null : (utf8Text(line) ?? line);
  },
  encode: lineOf,
  idle: lineOf(""),
};

/** A line is a message (Workerman's Text protocol). Text that holds line breaks goes out as a JSON string, in which they are escapes. */
export const textFraming: Framing = {
  input: lineLength,
  decode(packet) {
    const line = lineContent(packet);
    if (line.length === 0) return null;
    if (line.includes(NUL)) throw new FramingFault("a line holds a NUL");
    const text = utf8Text(line);
    if (text === undefined) throw new FramingFault("a line is no UTF-8");
    return text;
  },
  encode: (message) =>
    lineOf(typeof message === "string" && /[\r\n]/.test(message) ? JSON.stringify(message) : message),
  idle: lineOf(""),
};

/** A length and a body of bytes (Workerman's Frame protocol). Every packet says something here, an empty one too. */
export const frameFraming: Framing = {
  input(bytes) {
    const length = prefixedLength(bytes);
    if (length !== undefined && length < PREFIX_BYTES) {
      throw new FramingFault(`a length of ${length}; it counts its own ${PREFIX_BYTES} bytes`);
    }
    return length ?? 0;
  },
  decode: withoutPrefix,
  encode: (message) => withPrefix(typeof message === "string" ? Buffer.from(message) : message),
};

/** What a turn has brought, as one write. */
export function joined(framing: Framing): (frames: readonly Frame[]) => Uint8Array {
  return (frames) => {
    const [only] = frames;
    if (frames.length === 1 && only !== undefined) return framing.encode(only);
    return Buffer.concat(frames.map((frame) => framing.encode(frame)));
  };
}
