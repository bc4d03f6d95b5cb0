/**
 * Streams: answers that never end, as one-way connections. SSE and newline-delimited JSON differ in headers, framing and heartbeat, and
 * share everything else.
 *
 * The default stream controller with a strategy that counts bytes and a high-water mark of 0: `-desiredSize` is then exactly what the client
 * has not taken (measured). Closing the controller of a stalled reader leaves its descriptor open (measured), so the
 * stream is closed once it has drained, and cut by the runtime's own timeout where it never does.
 */
import type { Server } from "bun";
import type { Disconnect } from "../base/failures.ts";
import type { Connection, Frame, Hearing } from "../ports/connection.ts";
import type { Gateway, SessionHandle } from "../ports/gateway.ts";
import { EMPTY_TALLY, GZIP_HEADER, gzipBlock, gzipTrailer, tallied } from "../wire/gzip.ts";
import type { TurnFanout, TurnMember } from "./turn-fanout.ts";

/** What all streams of one kind and coding share. */
export interface StreamKind {
  readonly gateway: Gateway;
  readonly fanout: TurnFanout;
  readonly gzip: boolean;
  readonly shared: SharedWrites;
  readonly heartbeat: Uint8Array;
  /** The session's cursor, framed; undefined for streams that never carry one apart. */
  readonly cursorFrame: ((cursor: string) => Uint8Array) | undefined;
}

const STRATEGY: QueuingStrategy<Uint8Array> = { highWaterMark: 0, size: (chunk) => chunk?.byteLength ?? 0 };

/** How long an idle connection may stay once its stream has ended. */
const AFTERWARDS_SECONDS = 30;

const encoder = new TextEncoder();

/** One byte array for a text; cheaper than an array each. */
export function encodeText(frames: readonly Frame[], end: string): Uint8Array {
  let text = "";
  for (const frame of frames) text += frame + end;
  return encoder.encode(text);
}

/** The last array that was gzipped, and the last two that were joined: a fan-out hands the same ones to all. */
export class SharedWrites {
  #plain: Uint8Array | null = null;
  #block: Uint8Array | null = null;
  #first: Uint8Array | null = null;
  #cursor = "";
  #joined: Uint8Array | null = null;

  block(bytes: Uint8Array): Uint8Array {
    if (this.#plain !== bytes || this.#block === null) {
      this.#plain = bytes;
      this.#block = gzipBlock(bytes);
    }
    return this.#block;
  }

  joined(first: Uint8Array, cursor: string, frame: (cursor: string) => Uint8Array): Uint8Array {
    if (this.#first !== first || this.#cursor !== cursor || this.#joined === null) {
      this.#first = first;
      this.#cursor = cursor;
      this.#joined = Buffer.concat([first, frame(cursor)]);
    }
    return this.#joined;
  }
}

export class StreamConnection implements Connection, TurnMember, UnderlyingDefaultSource<Uint8Array> {
  session: SessionHandle | null = null;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** Before the answer begins: what is to be written, in order. Afterwards: what came while the cursor was asked for. */
  #held: Uint8Array[] | null = null;
  #isAsking = false;
  /** The last write has not been taken yet. */
  #isFull = false;
  /** The gateway has been told so, or has seen it by itself before the answer began: it waits to hear that there is room. */
  #isStrained = true;
  /** Whoever sends to this connection alone looks at the queue afterwards, and may be sending its goodbye: it is not told. */
  #isSending = false;
  #goodbye: Disconnect | null = null;
  #cursor = "";
  #tally = EMPTY_TALLY;

  constructor(
    private readonly kind: StreamKind,
    private readonly server: Server<unknown>,
    private readonly request: Request,
  ) {}

  get address(): string {
    return this.server.requestIP(this.request)?.address ?? "";
  }

  get hearing(): Hearing {
    return "nothing";
  }

  get fanout(): TurnFanout {
    return this.kind.fanout;
  }

  // Connection

  send(frames: readonly Frame[]): void {
    if (frames.length === 0 || this.#goodbye !== null) return;
    this.#isSending = true;
    this.kind.fanout.flush();
    this.deliver(this.kind.fanout.framed(frames));
    this.#isSending = false;
  }

  buffered(): number {
    let bytes = -(this.#controller?.desiredSize ?? 0);
    if (this.#held !== null) for (const part of this.#held) bytes += part.length;
    return bytes;
  }

  join(topic: string): void {
    this.kind.fanout.join(topic, this);
  }

  leave(topic: string): void {
    this.kind.fanout.leave(topic, this);
  }

  pause(): void {}

  resume(): void {}

  ping(): void {
    this.#write(this.kind.heartbeat);
  }

  close(goodbye: Disconnect): void {
    this.#goodbye = goodbye;
    this.#endIfDrained();
  }

  cut(): void {
    this.server.timeout(this.request, 1);
  }

  // TurnMember

  deliver(bytes: Uint8Array): void {
    if (this.#controller === null || this.#isAsking) {
      this.#held ??= [];
      this.#held.push(bytes);
      return;
    }
    // Looking at the queue costs; there can only be one if the write before is still there.
    const wasFull = this.#isFull;
    const { cursorFrame } = this.kind;
    if (cursorFrame === undefined) this.#write(bytes);
    else this.#writeWithCursor(bytes, cursorFrame);
    if (!wasFull || this.session === null) return;
    this.#isStrained = true;
    if (!this.#isSending) this.kind.gateway.strained(this.session);
  }

  /** The cursor behind what it covers, in one write. Asking for it may bring more frames of the session first: they are held. */
  #writeWithCursor(bytes: Uint8Array, cursorFrame: (cursor: string) => Uint8Array): void {
    this.#isAsking = true;
    const cursor = this.session === null ? undefined : this.kind.gateway.cursor(this.session);
    this.#isAsking = false;
    const first = this.#withHeld(bytes);
    if (cursor === undefined || cursor === this.#cursor) this.#write(first);
    else {
      this.#cursor = cursor;
      this.#write(this.kind.shared.joined(first, cursor, cursorFrame));
    }
  }

  #withHeld(bytes: Uint8Array): Uint8Array {
    const held = this.#held;
    if (held === null) return bytes;
    this.#held = null;
    return Buffer.concat([bytes, ...held]);
  }

  #write(bytes: Uint8Array): void {
    if (this.#controller === null || this.session === null) return;
    this.#isFull = true;
    if (!this.kind.gzip) {
      this.#controller.enqueue(bytes);
      return;
    }
    this.#tally = tallied(this.#tally, bytes);
    this.#controller.enqueue(this.kind.shared.block(bytes));
  }

  // UnderlyingDefaultSource

  /** The answer begins: what has gathered goes out. */
  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    // What topics brought in this turn is held as well: the cursor written here covers it.
    this.kind.fanout.flush();
    const held = this.#held;
    this.#held = null;
    this.#controller = controller;
    if (this.kind.gzip) controller.enqueue(GZIP_HEADER);
    if (held !== null) this.deliver(Buffer.concat(held));
    // The runtime sends the head with the first bytes: whoever returns quietly would wait for its status until there is something to say.
    else this.#write(this.kind.heartbeat);
  }

  /** The client's side has taken something. */
  pull(): void {
    // Without a high-water mark it is asked for more only when there is nothing left.
    this.#isFull = false;
    if (this.#isStrained && this.session !== null) {
      this.#isStrained = false;
      this.kind.gateway.drained(this.session);
    }
    this.#endIfDrained();
  }

  /** The client is gone. */
  cancel(): void {
    this.#controller = null;
    this.#closed("the client went away");
  }

  #endIfDrained(): void {
    const controller = this.#controller;
    if (this.#goodbye === null || controller === null || this.buffered() > 0) return;
    this.#controller = null;
    if (this.kind.gzip) controller.enqueue(gzipTrailer(this.#tally));
    // The connection may be used for another request. Left without a timeout it would stay open for ever (measured).
    this.server.timeout(this.request, AFTERWARDS_SECONDS);
    controller.close();
    this.#closed(this.#goodbye.message);
  }

  #closed(reason: string): void {
    const { session } = this;
    this.session = null;
    if (session !== null) this.kind.gateway.closed(session, this.#goodbye?.code ?? 1006, reason);
  }

  /**
   * The answer, once everything asked for in the opening is done: so that whoever has it misses nothing any more. `refusal`: what is
   * answered where the session has ended by then.
   */
  async answer(
    headers: Readonly<Record<string, string>>,
    refusal: (goodbye: Disconnect) => Response,
  ): Promise<Response> {
    if (this.session !== null) await this.kind.gateway.settled(this.session);
    if (this.#goodbye !== null) {
      this.#closed("refused");
      return refusal(this.#goodbye);
    }
    // The runtime's own idle timer counts what is received, and of this client nothing will be.
    this.server.timeout(this.request, 0);
    return new Response(this.body(), {
      headers: {
        ...headers,
        "cache-control": "no-store, no-transform",
        // nginx holds answers back unless it is told not to.
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        vary: "accept-encoding",
        ...(this.kind.gzip && { "content-encoding": "gzip" }),
      },
    });
  }

  /** The endless body. */
  body(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(this, STRATEGY);
  }
}
