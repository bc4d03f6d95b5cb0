/** Lines in a stream of bytes: `\n` ends one, and one `\r` before it belongs to the end. */

const LF = 10;
const CR = 13;
const NOTHING = new Uint8Array(0);

// A byte order mark is kept: what came in is to go out byte for byte.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Empty lines up to this length are taken as one: fewer bytes than the least that a message may be allowed to have. */
const EMPTY_BYTES_MAX = 255;

/**
 * Length of the first line, its end included; 0: no end is there yet. `from`: so many bytes are known to hold none. Empty lines that follow one
 * another count as one: they say nothing, and are counted by nobody, but looking at each costs a hundred times what sending it does.
 */
export function lineLength(bytes: Uint8Array, from: number): number {
  return emptyLength(bytes) || bytes.indexOf(LF, from) + 1;
}

/** Length of the empty lines at the beginning. */
function emptyLength(bytes: Uint8Array): number {
  let length = 0;
  while (length < EMPTY_BYTES_MAX) {
    if (bytes[length] === LF) length++;
    else if (bytes[length] === CR && bytes[length + 1] === LF) length += 2;
    else break;
  }
  return length;
}

/** What stands in a line, without its end. */
export function lineContent(line: Uint8Array): Uint8Array {
  if (emptyLength(line) > 0) return NOTHING;
  const end = line.at(-1) === LF ? line.length - 1 : line.length;
  return line.subarray(0, end > 0 && line[end - 1] === CR ? end - 1 : end);
}

/** A line that says this. */
export function lineOf(content: string | Uint8Array): Uint8Array {
  if (typeof content === "string") return Buffer.from(`${content}\n`);
  const line = new Uint8Array(content.length + 1);
  line.set(content);
  line[content.length] = LF;
  return line;
}

/** The bytes as text, or undefined where they are no UTF-8. */
export function utf8Text(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    // Thrown for nothing else: the decoder is fatal, and bytes are all it is given.
    return undefined;
  }
}
