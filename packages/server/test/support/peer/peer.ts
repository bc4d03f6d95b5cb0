/**
 * A client over any transport, on a raw socket, so that it can stop reading, be cut and be half closed.
 *
 *     const bob = await SSE.open(target, { subscribe: [{ channel: "a", since: ann.position("a") }] });   // see transports.ts
 *     await bob.offsets("a", 100);               // waits until so many came
 *     bob.pause();                               // stops reading: the server's queue grows
 *     bob.drop();                                // as if the cable were cut
 *     const again = await TCP.open(target, bob.luggage(["a"]));        // goes on where it was, on another transport
 *     bob.goodbye                                // the `disconnect` that was said
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { DisconnectFrame, Json, MessageFrame, Position, ServerFrame } from "@longwire/protocol";
import type { Head, Reader } from "./readers.ts";

const WAIT_MS = 10_000;

/** What a client asks for, and who it is. */
export interface Wishes {
  readonly token?: string;
  readonly session?: string;
  readonly ping?: boolean;
  readonly subscribe?: readonly Wish[];
  /** Headers of the request. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Wish {
  readonly channel: string;
  readonly since?: Position | "earliest" | "latest" | undefined;
  readonly presence?: Json;
  readonly events?: boolean;
  readonly echo?: boolean;
}

export class Peer {
  /** Everything that came, in order. */
  readonly frames: ServerFrame[] = [];
  /** What came without envelope. */
  readonly texts: string[] = [];
  readonly positions = new Map<string, Position>();
  /** By the id of an event, or the answer of a poll. */
  cursor: string | undefined = undefined;
  session: string | undefined;
  /** Of the answer; undefined where the transport has none. */
  head: Head | undefined = undefined;
  /** Code of the refusal, from whatever carried it. */
  refused: number | undefined = undefined;
  /** The server ended it, or it was dropped. */
  isEnded = false;
  /** Of the WebSocket's close frame. */
  closeCode: number | undefined = undefined;
  /** Heartbeats: of the protocol or of the transport. */
  beats = 0;
  #onDrop: () => void = () => undefined;
  readonly #waiters = new Set<() => void>();
  #link: Link | undefined;

  constructor(readonly wishes: Wishes) {
    this.session = wishes.session;
    // Whoever goes on by a cursor is not told where it stands: it knows.
    for (const { channel, since } of wishes.subscribe ?? []) {
      if (typeof since === "object") this.positions.set(channel, since);
    }
  }

  /** The socket in use, which a poll may change. */
  uses(link: Link): void {
    this.#link = link;
  }

  onDrop(run: () => void): void {
    this.#onDrop = run;
  }

  frame(frame: ServerFrame): void {
    this.frames.push(frame);
    if (frame.type === "connected") this.session = frame.session;
    if (frame.type === "subscribed") this.positions.set(frame.channel, { epoch: frame.epoch, offset: frame.offset });
    if (frame.type === "message" && frame.channel !== undefined && frame.offset !== undefined) {
      const { epoch = "" } = this.positions.get(frame.channel) ?? {};
      this.positions.set(frame.channel, { epoch, offset: frame.offset });
    }
    if (frame.type === "ping") this.beats++;
    if (frame.type === "disconnect" && this.frames.length === 1) this.refused = frame.code;
    this.look();
  }

  text(text: string): void {
    this.texts.push(text);
    this.look();
  }

  ended(): void {
    this.isEnded = true;
    this.look();
  }

  look(): void {
    for (const waiter of this.#waiters) waiter();
  }

  get goodbye(): DisconnectFrame | undefined {
    return this.frames.find((frame) => frame.type === "disconnect");
  }

  messages(channel: string): MessageFrame[] {
    return this.frames.filter((frame): frame is MessageFrame => frame.type === "message" && frame.channel === channel);
  }

  /** Waits until so many numbered publications of the channel came; returns the offsets of all. */
  async offsets(channel: string, count: number): Promise<number[]> {
    let seen = 0;
    let at = 0;
    await this.until(`${count} publications of ${channel}`, () => {
      for (; at < this.frames.length; at++) {
        const frame = this.frames[at];
        if (frame?.type === "message" && frame.channel === channel) seen++;
      }
      return seen >= count;
    });
    return this.messages(channel).map(({ offset = 0 }) => offset);
  }

  async next<Type extends ServerFrame["type"]>(type: Type): Promise<Extract<ServerFrame, { type: Type }>> {
    const like = (): ServerFrame | undefined => this.frames.find((frame) => frame.type === type);
    await this.until(type, () => like() !== undefined);
    return like() as Extract<ServerFrame, { type: Type }>;
  }

  async until(what: string, isTrue: () => boolean): Promise<void> {
    if (isTrue()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error(`${what}: in vain; ${this.#last()}`)), WAIT_MS);
    const waiter = (): void => {
      if (isTrue()) resolve();
    };
    this.#waiters.add(waiter);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(waiter);
    }
  }

  /** A part of its opening. If that fails nobody gets hold of it, and it must not stay connected. */
  async opening(part: Promise<void>): Promise<void> {
    try {
      await part;
    } catch (error) {
      this.drop();
      throw error;
    }
  }

  untilEnded(): Promise<void> {
    return this.until("the end", () => this.isEnded);
  }

  /** What the next connection brings along: who it is, and where it stands in these channels. */
  luggage(channels: readonly Wish[]): Wishes {
    return {
      ...this.wishes,
      ...(this.session !== undefined && { session: this.session }),
      subscribe: channels.map((wish) => {
        const since = this.positions.get(wish.channel) ?? wish.since;
        return { ...wish, ...(since !== undefined && { since }) };
      }),
    };
  }

  /** Stops reading: what the server sends piles up on its side. */
  pause(): void {
    this.#link?.pause();
  }

  resume(): void {
    this.#link?.resume();
  }

  /** Cuts the connection without a word. */
  drop(): void {
    this.#onDrop();
    this.#link?.destroy();
    this.ended();
  }

  #last(): string {
    const last = this.frames.slice(-3).map((frame) => JSON.stringify(frame).slice(0, 200));
    return `${this.frames.length} frames${this.isEnded ? ", ended" : ""}, HTTP ${this.head?.status}: ${last.join(" ")}`;
  }
}

/** A socket with a reader. */
export class Link {
  #socket: Socket;

  private constructor(socket: Socket, reader: Reader, onEnd: () => void) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => reader.push(bytes));
    // A reset is an end like another: tests ask what came before it.
    socket.on("error", onEnd);
    socket.on("end", onEnd);
    socket.on("close", onEnd);
  }

  /** `ca`: the certificate that a server with TLS has. */
  static open(port: number, reader: Reader, onEnd: () => void, ca?: string): Promise<Link> {
    return new Promise((resolve, reject) => {
      const place = { port, host: "127.0.0.1" };
      const socket = ca === undefined ? connect(place) : connectTls({ ...place, ca });
      socket.once("error", reject);
      socket.once(ca === undefined ? "connect" : "secureConnect", () => {
        socket.off("error", reject);
        resolve(new Link(socket, reader, onEnd));
      });
    });
  }

  send(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
