/**
 * Streams: answers that never end, as one-way connections. SSE and newline-delimited JSON differ in headers, framing and heartbeat, and
 * share everything else.
 *
 * The runtime's direct stream controller: it writes in the call, where the default one goes through a promise and the loop that pulls, which
 * cost 1 us per delivery (measured). Its `write` returns a promise when the client's side is full, and keeps what it was given without
 * any bound; so nothing more is given to it until that promise has settled, and the queue is ours. Closing the
 * stream of a stalled reader leaves its descriptor open (measured), so it is closed once it has drained, and cut by the runtime's own timeout where it never does.
 */
import type { Server } from "bun";
import { plainAddress } from "../base/address-list.ts";
import type { Disconnect } from "../base/failures.ts";
import type { Connection, Frame, Hearing } from "../ports/connection.ts";
import type { Gateway, SessionHandle } from "../ports/gateway.ts";
import { EMPTY_TALLY, GZIP_HEADER, gzipBlock, gzipTrailer, tallied } from "../wire/gzip.ts";
import type { ForwardedReader } from "./client-address.ts";
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

/** Queued pieces are joined up to this size before they are written. */
const WRITE_BYTES = 256 * 1024;

/** How long an idle connection may stay once its stream has ended. */
const AFTERWARDS_SECONDS = 30;

const encoder = new TextEncoder();

/** Joins frames, each with this end, to one byte array: cheaper than an array each. */
export function framedWith(end: string): (frames: readonly Frame[]) => Uint8Array {
  return (frames) => {
    let text = "";
    for (const frame of frames) text += frame + end;
    return encoder.encode(text);
  };
}

/** One piece stays the array that it is: others may share it. */
function inOne(pieces: readonly Uint8Array[]): Uint8Array {
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
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

export class StreamConnection implements Connection, TurnMember, Bun.DirectUnderlyingSource<Uint8Array> {
  session: SessionHandle | null = null;
  #sink: ReadableStreamDirectController | null = null;
  /** What the sink was not given yet, in order; null where there is nothing. */
  #queue: Uint8Array[] | null = null;
  /** All that was not taken yet: the queue, and what the sink is at. */
  #queueBytes = 0;
  /** Before the answer begins: what is to be written, in order. Afterwards: what came while it was holding. */
  #held: Uint8Array[] | null = null;
  /** What comes now goes out together with what is to follow, under one cursor. */
  #isHolding = false;
  /** The sink is at a write that the client's side has no room for. */
  #isFull = false;
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
    return plainAddress(this.server.requestIP(this.request)?.address ?? "");
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
    const { fanout } = this.kind;
    const wasHolding = this.#isHolding;
    this.#isSending = true;
    this.#isHolding = true;
    // First, for the order. Not by itself: the cursor behind it would cover these frames too, and a cut before them would lose them.
    fanout.flush();
    this.deliver(fanout.framed(frames));
    this.#isHolding = wasHolding;
    if (!wasHolding && this.#sink !== null) this.#release();
    this.#isSending = false;
  }

  buffered(): number {
    let bytes = this.#queueBytes;
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
    if (this.#sink === null || this.#isHolding) {
      this.#held ??= [];
      this.#held.push(bytes);
      return;
    }
    const { cursorFrame } = this.kind;
    if (cursorFrame === undefined) this.#write(bytes);
    else this.#writeWithCursor(bytes, cursorFrame);
    // Asking for the cursor may have ended the session, when there was something to write yet.
    if (this.#goodbye !== null) this.#endIfDrained();
    else if (this.#isFull && !this.#isSending && this.session !== null) this.kind.gateway.strained(this.session);
  }

  /** The cursor behind what it covers, in one write. Asking for it may bring more frames of the session first: they are held. */
  #writeWithCursor(bytes: Uint8Array, cursorFrame: (cursor: string) => Uint8Array): void {
    this.#isHolding = true;
    const cursor = this.session === null ? undefined : this.kind.gateway.cursor(this.session);
    this.#isHolding = false;
    const first = this.#withHeld(bytes);
    if (cursor === undefined || cursor === "" || cursor === this.#cursor) this.#write(first);
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

  /** Writes what was held. */
  #release(): void {
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.deliver(inOne(held));
  }

  #write(bytes: Uint8Array): void {
    if (this.#sink === null || this.session === null) return;
    if (this.kind.gzip) {
      this.#tally = tallied(this.#tally, bytes);
      this.#hand(this.kind.shared.block(bytes));
    } else this.#hand(bytes);
  }

  /** Gives the sink the next bytes, or queues them while it is full. */
  #hand(bytes: Uint8Array): void {
    if (this.#isFull) {
      this.#queue ??= [];
      this.#queue.push(bytes);
      this.#queueBytes += bytes.length;
      return;
    }
    const taken = this.#sink?.write(bytes);
    if (typeof taken !== "object") return;
    this.#isFull = true;
    this.#queueBytes += bytes.length;
    // Settled in either way: a client that went away is told by `cancel`.
    void taken.catch(() => 0).then(() => this.#taken(bytes.length));
  }

  /** The client's side has room again. */
  #taken(bytes: number): void {
    this.#isFull = false;
    this.#queueBytes -= bytes;
    while (!this.#isFull && this.#queue !== null) {
      const next = this.#takeQueued(this.#queue);
      this.#queueBytes -= next.length;
      this.#hand(next);
    }
    if (this.session !== null) this.kind.gateway.drained(this.session);
    this.#endIfDrained();
  }

  /** The first piece of the queue, or several small ones as one. */
  #takeQueued(queue: Uint8Array[]): Uint8Array {
    let count = 0;
    let size = 0;
    for (const { length } of queue) {
      if (count > 0 && size + length > WRITE_BYTES) break;
      size += length;
      count++;
    }
    const pieces = queue.splice(0, count);
    if (queue.length === 0) this.#queue = null;
    return inOne(pieces);
  }

  /** The answer begins: what has gathered goes out. */
  #begin(sink: ReadableStreamDirectController): void {
    // What topics brought in this turn is held as well: the cursor written here covers it.
    this.kind.fanout.flush();
    this.#sink = sink;
    if (this.kind.gzip) this.#hand(GZIP_HEADER);
    if (this.#held !== null) this.#release();
    // The runtime sends the head with the first bytes: whoever returns quietly would wait for its status until there is something to say.
    else this.#write(this.kind.heartbeat);
    // Replays wait for what was gathered to be taken, and it has been.
    if (!this.#isFull && this.session !== null) this.kind.gateway.drained(this.session);
    this.#endIfDrained();
  }

  #endIfDrained(): void {
    const sink = this.#sink;
    if (this.#goodbye === null || sink === null || this.buffered() > 0) return;
    if (this.kind.gzip) this.#hand(gzipTrailer(this.#tally));
    this.#sink = null;
    // The connection may be used for another request. Left without a timeout it would stay open for ever (measured).
    this.server.timeout(this.request, AFTERWARDS_SECONDS);
    this.#closed(this.#goodbye.message);
    // A stream that is read in this process calls `close` of its source in turn, which is this.
    sink.close();
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
    // The types of the DOM, which are there too, know no direct source.
    return new ReadableStream<Uint8Array>(this as unknown as UnderlyingDefaultSource<Uint8Array>);
  }

  // DirectUnderlyingSource: the connection itself, since an object with two closures would cost every stream 200 bytes

  get type(): "direct" {
    return "direct";
  }

  pull(sink: ReadableStreamDirectController): Promise<void> {
    this.#begin(sink);
    // As long as this has not settled, the stream goes on. Each has its own: what waits for a shared one would never be let go.
    return new Promise(() => undefined);
  }

  cancel(): void {
    this.#sink = null;
    this.#queue = null;
    this.#queueBytes = 0;
    this.#closed("the client went away");
  }
}

/** Of a client behind a trusted proxy. A class of its own: to the others a place for the address would be one more field. */
class ForwardedStreamConnection extends StreamConnection {
  readonly #address: string;

  constructor(kind: StreamKind, server: Server<unknown>, request: Request, address: string) {
    super(kind, server, request);
    this.#address = address;
  }

  override get address(): string {
    return this.#address;
  }
}

export function streamConnection(
  kind: StreamKind,
  server: Server<unknown>,
  request: Request,
  forwarded: ForwardedReader | undefined,
): StreamConnection {
  const address = forwarded?.(request, server);
  if (address === undefined) return new StreamConnection(kind, server, request);
  return new ForwardedStreamConnection(kind, server, request, address);
}
