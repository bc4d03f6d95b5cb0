/**
 * Puts the pieces in which bytes arrive together to packets, at a cost that is linear in the bytes however small the pieces are.
 *
 * What was handed out is never written over: a packet is a view, and may wait somewhere until it is looked at.
 */
import type { Framing } from "../ports/framing.ts";

const NOTHING = new Uint8Array(0);

/** How much more than the rest of a half packet may be held before the rest moves into memory of its own size. */
const SPARE_BYTES = 1024;

/** A packet is, or would become, larger than allowed. */
export class PacketTooLarge extends Error {}

export class PacketReader {
  /** What was read and not taken yet stands from `#start` to `#end`. */
  #bytes: Uint8Array = NOTHING;
  #start = 0;
  #end = 0;
  /** The array is ours, and may be written to behind `#end`. */
  #isOwn = false;
  /** How many bytes the framing has seen without finding a packet, and how many that packet needs if it could tell. */
  #seen = 0;
  #needed = 0;

  constructor(
    private readonly framing: Pick<Framing, "input">,
    private readonly packetBytesMax: number,
  ) {}

  /** Bytes of a packet that is not whole yet. */
  get rest(): number {
    return this.#end - this.#start;
  }

  push(chunk: Uint8Array): void {
    const { rest } = this;
    if (rest === 0) {
      this.#hold(chunk, chunk.length, false);
      return;
    }
    if (!this.#isOwn || this.#end + chunk.length > this.#bytes.length) {
      // Doubling, so that a packet that comes byte by byte is copied a few times and not once per byte.
      this.#move(Math.max(rest * 2, rest + chunk.length));
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** What is there, for a look at its beginning. */
  peek(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** The next whole packet; null: it is not there yet. Throws what the framing throws, and `PacketTooLarge`. */
  next(): Uint8Array | null {
    const { rest } = this;
    if (rest === 0 || rest < this.#needed) return null;
    const bytes = this.peek();
    const length = this.framing.input(bytes, this.#seen);
    if (!Number.isSafeInteger(length) || length < 0) throw new TypeError(`input returned ${length}`);
    if (length > this.packetBytesMax || (length === 0 && rest > this.packetBytesMax)) throw new PacketTooLarge();
    if (length === 0 || length > rest) {
      this.#seen = rest;
      this.#needed = length;
      return null;
    }
    this.#start += length;
    this.#seen = 0;
    this.#needed = 0;
    return bytes.subarray(0, length);
  }

  /** To be called when no whole packet is left: what came in a large piece must not be kept for the sake of its last bytes. */
  settle(): void {
    const { rest } = this;
    if (rest === 0) this.clear();
    else if (!this.#isOwn || this.#bytes.length > rest * 4 + SPARE_BYTES) this.#move(rest);
  }

  clear(): void {
    this.#hold(NOTHING, 0, false);
  }

  #move(capacity: number): void {
    const bytes = new Uint8Array(capacity);
    bytes.set(this.peek());
    this.#hold(bytes, this.rest, true);
  }

  #hold(bytes: Uint8Array, length: number, isOwn: boolean): void {
    this.#bytes = bytes;
    this.#start = 0;
    this.#end = length;
    this.#isOwn = isOwn;
  }
}
