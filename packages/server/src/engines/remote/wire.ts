/**
 * Wire: one end of the socket between a worker and its supervisor.
 *
 * Frames of one turn of the event loop share a write. The runtime keeps nothing that a socket does not take at once, so what waits is kept here, and whoever
 * sends looks at how much that is.
 */
import type { Turn } from "../../base/turn.ts";
import { FrameInput, type FrameReader } from "./frames.ts";

/** What is written at once; a longer frame goes by itself. */
export const BLOCK_BYTES = 64 * 1024;

/** What a wire needs of a socket. `write` returns how much was taken; less than 0 where nobody is there any more. */
export interface WireSocket {
  write(bytes: Uint8Array): number;
  /** Says that no more will come; the other end closes. The runtime's `end` would close at once, and what the other end has not read yet could be lost to it. */
  shutdown(): void;
  terminate(): void;
}

export interface WireParts {
  readonly socket: WireSocket;
  readonly turn: Turn;
  readonly frameBytesMax: number;
  readonly take: (frame: FrameReader) => void;
  /** Something of what waited was taken. */
  readonly drained?: () => void;
}

export class Wire {
  readonly #socket: WireSocket;
  readonly #turn: Turn;
  readonly #input: FrameInput;
  readonly #drained: (() => void) | undefined;
  /** Frames that nothing was tried with yet, one after the other; behind the queue. */
  #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #blockEnd = 0;
  /** What the socket has refused once, in order from `#head` on. */
  #queue: Uint8Array[] = [];
  #head = 0;
  #queueBytes = 0;
  #isScheduled = false;
  #isEnding = false;
  #isShut = false;
  #isClosed = false;

  constructor({ socket, turn, frameBytesMax, take, drained }: WireParts) {
    this.#socket = socket;
    this.#turn = turn;
    this.#input = new FrameInput(frameBytesMax, take);
    this.#drained = drained;
  }

  /** Bytes that the socket has not taken. */
  get waitingBytes(): number {
    return this.#queueBytes + this.#blockEnd;
  }

  set frameBytesMax(bytes: number) {
    this.#input.frameBytesMax = bytes;
  }

  /** The frame is copied, except a long one with `isOwn`, which will not be written over. */
  send(frame: Uint8Array, isOwn = false): void {
    if (this.#isClosed || this.#isEnding) return;
    if (this.#blockEnd + frame.length > BLOCK_BYTES) this.#write();
    if (this.#blockEnd + frame.length > BLOCK_BYTES) this.#seal();
    if (frame.length > BLOCK_BYTES) {
      this.#enqueue(isOwn ? frame : Buffer.from(frame));
      if (this.#queue.length - this.#head === 1) this.#write();
      return;
    }
    this.#block.set(frame, this.#blockEnd);
    this.#blockEnd += frame.length;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#turn.atEnd(() => {
      this.#isScheduled = false;
      if (this.#queueBytes === 0) this.#write();
    });
  }

  /** Throws `FrameFault`: then the wire is good for nothing any more. */
  received(chunk: Buffer): void {
    if (!this.#isClosed) this.#input.push(chunk);
  }

  /** The socket takes bytes again. */
  drain(): void {
    this.#write();
    this.#drained?.();
  }

  /** Ends the connection behind what waits. */
  end(): void {
    this.#isEnding = true;
    this.#write();
  }

  /** Ends it at once. */
  cut(): void {
    this.closed();
    this.#socket.terminate();
  }

  closed(): void {
    this.#isClosed = true;
    this.#input.stop();
    this.#queue = [];
    this.#head = 0;
    this.#queueBytes = 0;
    this.#blockEnd = 0;
  }

  /** Hands the socket as much as it takes. */
  #write(): void {
    while (this.#head < this.#queue.length) {
      const bytes = this.#queue[this.#head] as Uint8Array;
      const taken = this.#offer(bytes);
      this.#queueBytes -= taken;
      if (taken < bytes.length) {
        this.#queue[this.#head] = bytes.subarray(taken);
        return;
      }
      this.#head++;
    }
    this.#queue = [];
    this.#head = 0;
    if (this.#blockEnd > 0) {
      const taken = this.#offer(this.#block.subarray(0, this.#blockEnd));
      const left = this.#blockEnd - taken;
      if (left > 0) this.#enqueue(Buffer.from(this.#block.subarray(taken, this.#blockEnd)));
      this.#blockEnd = 0;
      if (left > 0) return;
    }
    if (!this.#isEnding || this.#isShut || this.#isClosed) return;
    this.#isShut = true;
    this.#socket.shutdown();
  }

  #offer(bytes: Uint8Array): number {
    return this.#isClosed ? 0 : Math.max(0, this.#socket.write(bytes));
  }

  #enqueue(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queueBytes += bytes.length;
  }

  /** The block joins the queue as it is. */
  #seal(): void {
    if (this.#blockEnd === 0) return;
    this.#enqueue(this.#block.subarray(0, this.#blockEnd));
    this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#blockEnd = 0;
  }
}
