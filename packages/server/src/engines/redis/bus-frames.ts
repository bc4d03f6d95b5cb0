/**
 * What peers say to each other by pub/sub. A text is cut into parts that hurt nobody: what a subscriber has not taken waits in Redis, which ends those
 * for which too much waits.
 *
 *     <kind> <from> <number> <part> <parts>\n<part of the text>
 *
 * Kinds: `q` a question, `a` its answer, `r` its refusal.
 */
export type FrameKind = "q" | "a" | "r";

export interface Frame {
  readonly kind: FrameKind;
  readonly from: string;
  /** Of the question, given by whoever asks. */
  readonly number: string;
  readonly text: string;
}

const PART_LENGTH = 128 * 1024;

/** Longer texts are not said. */
export const TEXT_LENGTH_MAX = 32 * 1024 * 1024;

export function cutFrame({ kind, from, number, text }: Frame): string[] {
  const pieces = piecesOf(text);
  return pieces.map((piece, part) => `${kind} ${from} ${number} ${part} ${pieces.length}\n${piece}`);
}

function piecesOf(text: string): string[] {
  if (text.length <= PART_LENGTH) return [text];
  const pieces: string[] = [];
  for (let start = 0, end = 0; start < text.length; start = end) {
    end = Math.min(start + PART_LENGTH, text.length);
    // Halves of a pair cannot be sent apart.
    if (end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1))) end--;
    pieces.push(text.slice(start, end));
  }
  return pieces;
}

/** Puts the parts of one listener together again. Parts of one sender come one after the other; where one is lost, the text is. */
export class FrameParts {
  /** By sender. */
  readonly #begun = new Map<string, { readonly number: string; readonly pieces: string[] }>();

  /** The whole, when this was its last part. */
  take(message: string): Frame | undefined {
    const end = message.indexOf("\n");
    const [kind, from = "", number = "", part, parts] = message.slice(0, end).split(" ");
    const piece = message.slice(end + 1);
    if (kind !== "q" && kind !== "a" && kind !== "r") return undefined;
    if (parts === "1") return { kind, from, number, text: piece };
    const begun = part === "0" ? { number: `${kind} ${number}`, pieces: [] } : this.#begun.get(from);
    if (begun?.number !== `${kind} ${number}` || begun.pieces.length !== Number(part)) {
      this.#begun.delete(from);
      return undefined;
    }
    begun.pieces.push(piece);
    this.#begun.set(from, begun);
    if (begun.pieces.length < Number(parts)) return undefined;
    this.#begun.delete(from);
    return { kind, from, number, text: begun.pieces.join("") };
  }

  forget(from: string): void {
    this.#begun.delete(from);
  }
}
