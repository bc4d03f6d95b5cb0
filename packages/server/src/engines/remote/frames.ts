/**
 * Frames between a worker and its supervisor: four bytes of length, one of kind, then the fields one after the other. Texts stand there as they are, with
 * their length before them: what is published is handed on without being looked at.
 *
 * Both ends are of one build of the program and of one machine, so nothing here is negotiated.
 */

/** Stands where the length of a text would, for a text that is not there. */
const ABSENT = 0xffff_ffff;

/** Added to the length of a text that UTF-8 cannot carry, having half a surrogate pair somewhere: it stands there in UTF-16. */
const WIDE = 0x8000_0000;

const LENGTH_BYTES = 4;
const HEAD_BYTES = LENGTH_BYTES + 1;

/** A writer begins with so much, and goes back to it after a frame that needed much more. */
const WRITER_BYTES = 64 * 1024;
const WRITER_BYTES_MAX = 1024 * 1024;

/** From this length on a text is measured before it is written, instead of making room for the longest that it could become. */
const MEASURED_LENGTH = 4096;

/** What came is no frame, or not the frame that it says it is. */
export class FrameFault extends Error {}

/** Builds one frame at a time. */
export class FrameWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(WRITER_BYTES);
  #view = viewOf(this.#bytes);
  #end = 0;

  begin(kind: number): this {
    if (this.#bytes.length > WRITER_BYTES_MAX) this.#hold(Buffer.allocUnsafeSlow(WRITER_BYTES));
    this.#bytes[LENGTH_BYTES] = kind;
    this.#end = HEAD_BYTES;
    return this;
  }

  /** A whole number below 2^32. */
  count(value: number): this {
    this.#reserve(4);
    this.#view.setUint32(this.#end, value, true);
    this.#end += 4;
    return this;
  }

  /** Any number: offsets, times. */
  number(value: number): this {
    this.#reserve(8);
    this.#view.setFloat64(this.#end, value, true);
    this.#end += 8;
    return this;
  }

  flag(value: boolean): this {
    this.#reserve(1);
    this.#bytes[this.#end++] = value ? 1 : 0;
    return this;
  }

  text(value: string | undefined): this {
    if (value === undefined) return this.count(ABSENT);
    const isWide = !value.isWellFormed();
    this.#reserve(4 + (isWide || value.length < MEASURED_LENGTH ? value.length * 3 : Buffer.byteLength(value)));
    const length = this.#bytes.write(value, this.#end + 4, isWide ? "utf16le" : "utf8");
    this.#view.setUint32(this.#end, isWide ? length + WIDE : length, true);
    this.#end += 4 + length;
    return this;
  }

  /** The whole frame: good until the next one is begun. */
  finish(): Uint8Array {
    this.#view.setUint32(0, this.#end - LENGTH_BYTES, true);
    return this.#bytes.subarray(0, this.#end);
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#end);
    this.#hold(grown);
  }

  #hold(bytes: Buffer): void {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }
}

/** Reads the fields of one frame, in the order in which they were written. Throws `FrameFault` where they are not there. */
export class FrameReader {
  kind = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #view = viewOf(this.#bytes);
  #at = 0;
  #end = 0;

  /** `start`: where the frame's kind stands. */
  open(bytes: Buffer, view: DataView, start: number, end: number): void {
    this.#bytes = bytes;
    this.#view = view;
    this.kind = bytes[start] ?? 0;
    this.#at = start + 1;
    this.#end = end;
  }

  count(): number {
    const at = this.#take(4);
    return this.#view.getUint32(at, true);
  }

  number(): number {
    const at = this.#take(8);
    return this.#view.getFloat64(at, true);
  }

  flag(): boolean {
    return this.#bytes[this.#take(1)] === 1;
  }

  text(): string {
    const text = this.optionalText();
    if (text === undefined) throw new FrameFault("a text is missing");
    return text;
  }

  optionalText(): string | undefined {
    const stated = this.count();
    if (stated === ABSENT) return undefined;
    const isWide = stated >= WIDE;
    const length = isWide ? stated - WIDE : stated;
    const at = this.#take(length);
    return this.#bytes.toString(isWide ? "utf16le" : "utf8", at, at + length);
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) throw new FrameFault("a frame is shorter than its fields");
    this.#at = at + bytes;
    return at;
  }
}

/** Puts the pieces in which bytes arrive together to frames. */
export class FrameInput {
  readonly #reader = new FrameReader();
  /** Of a frame that is not whole yet. */
  #pieces: Buffer[] = [];
  #heldBytes = 0;
  /** How many bytes have to be there before it is worth looking again. */
  #neededBytes = LENGTH_BYTES;
  #stopped = false;

  constructor(
    /** Longer ones are a fault: whoever has not said yet who it is gets little room. */
    public frameBytesMax: number,
    private readonly take: (frame: FrameReader) => void,
  ) {}

  /** Hands on every frame that is whole now. The chunk is kept, so it must not be written over. Throws `FrameFault`, and what `take` throws. */
  push(chunk: Buffer): void {
    this.#heldBytes += chunk.length;
    if (this.#pieces.length > 0 || this.#heldBytes < this.#neededBytes) this.#pieces.push(chunk);
    if (this.#heldBytes < this.#neededBytes) return;
    const bytes = this.#pieces.length > 0 ? Buffer.concat(this.#pieces) : chunk;
    this.#pieces = [];
    const rest = this.#takeAll(bytes);
    this.#heldBytes = bytes.length - rest;
    if (this.#heldBytes === 0 || this.#stopped) return;
    // A copy: a few bytes must not hold the half megabyte that they came with.
    this.#pieces.push(this.#heldBytes * 2 < bytes.length ? Buffer.from(bytes.subarray(rest)) : bytes.subarray(rest));
  }

  /** Nothing more is handed on: to be called from within `take`. */
  stop(): void {
    this.#stopped = true;
  }

  /** Returns where what is left begins. */
  #takeAll(bytes: Buffer): number {
    const view = viewOf(bytes);
    let start = 0;
    while (!this.#stopped) {
      const left = bytes.length - start;
      this.#neededBytes = LENGTH_BYTES;
      if (left < LENGTH_BYTES) break;
      const length = view.getUint32(start, true);
      if (length < 1 || length > this.frameBytesMax) throw new FrameFault(`a frame of ${length} bytes`);
      this.#neededBytes = LENGTH_BYTES + length;
      if (left < this.#neededBytes) break;
      const end = start + this.#neededBytes;
      this.#reader.open(bytes, view, start + LENGTH_BYTES, end);
      this.take(this.#reader);
      start = end;
    }
    return start;
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
