/**
 * Raw TCP: Bun's sockets to the gateway, and back. How messages stand in the stream is the framing's matter.
 *
 * The runtime keeps nothing that a socket does not take at once (measured), so the queue is ours. A connection ends by `shutdown`, never by the
 * runtime's `end`: that closes at once, and unread input then makes the kernel throw away the goodbye (a reset instead of an end).
 */
import type { Socket, TCPSocketListener } from "bun";
import { plainAddress } from "../base/address-list.ts";
import type { Disconnect } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Turn } from "../base/turn.ts";
import type { Connection, Frame, Hearing } from "../ports/connection.ts";
import { type Framing, FramingFault } from "../ports/framing.ts";
import type { Gateway, Handshake, SessionHandle } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { joined } from "./framings.ts";
import { PacketReader, PacketTooLarge } from "./packet-reader.ts";
import { TurnFanout, type TurnMember } from "./turn-fanout.ts";

/** Queued pieces are joined up to this size before they are written. */
const WRITE_BYTES = 256 * 1024;

export interface TcpListenerParts {
  readonly hostname: string;
  readonly port: number;
  readonly gateway: Gateway;
  readonly turn: Turn;
  readonly framing: Framing;
  readonly protocol: Protocol;
  readonly handshake: Handshake;
  /** Why no more clients are taken at the moment. */
  readonly refusal?: () => Disconnect | undefined;
  /** Certificate and key; undefined: the port speaks no TLS. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly passphrase?: string } | undefined;
  readonly messageBytesMax: number;
  /** After so long without a byte the kernel begins to ask whether the client is still there. */
  readonly keepAliveMs: number;
  readonly log: Logger;
}

/** What the connections of a listener share. */
interface Shared extends Pick<TcpListenerParts, "gateway" | "framing" | "messageBytesMax" | "log"> {
  readonly fanout: TurnFanout;
}

export function listenTcp(parts: TcpListenerParts): TCPSocketListener<TcpConnection> {
  const { hostname, port, gateway, turn, framing, protocol, handshake, messageBytesMax, keepAliveMs, log, tls } = parts;
  const shared: Shared = { gateway, framing, messageBytesMax, log, fanout: new TurnFanout(turn, joined(framing)) };
  return Bun.listen<TcpConnection>({
    hostname,
    port,
    allowHalfOpen: true,
    ...(tls !== undefined && { tls: { ...tls } }),
    socket: {
      open(socket) {
        socket.setNoDelay(true);
        socket.setKeepAlive(true, keepAliveMs);
        const connection = new TcpConnection(socket, shared);
        socket.data = connection;
        const refusal = parts.refusal?.();
        const terms = refusal === undefined ? handshake : { channels: [], refusal };
        connection.session = gateway.open(connection, protocol, terms);
      },
      // With it `open` comes before the handshake, without it after (measured): one that never finishes must have a session that is watched.
      ...(tls !== undefined && {
        handshake(socket: Socket<TcpConnection>, isGood: boolean) {
          // What was written before is ours to write again. One that has failed is closed by the runtime.
          if (isGood) socket.data.drained();
        },
      }),
      data: (socket, bytes) => socket.data.received(bytes),
      drain: (socket) => socket.data.drained(),
      end: (socket) => socket.data.ended(),
      close: (socket, error) => socket.data.closed(error),
      error(socket, error) {
        log.error("tcp connection failed", { error });
        socket.terminate();
      },
    },
  });
}

export class TcpConnection implements Connection, TurnMember {
  session: SessionHandle | null = null;
  readonly #reader: PacketReader;
  /** What the socket has not taken yet, in order. */
  #queue: Uint8Array[] = [];
  #queueBytes = 0;
  #goodbye: Disconnect | null = null;
  /** Nothing more goes out behind the queue, and nothing that comes in is looked at. */
  #isOver = false;
  #isSending = false;
  #isHalfClosed = false;
  /** Until the first packet is looked at, the client may turn out to speak something else. */
  #isNew = true;

  constructor(
    private readonly socket: Socket<TcpConnection>,
    private readonly shared: Shared,
  ) {
    this.#reader = new PacketReader(shared.framing, shared.messageBytesMax);
  }

  // On the prototype: as a field it would cost every connection its place.
  get hearing(): Hearing {
    return "frames";
  }

  get address(): string {
    // There is none once the socket is closed, which the types do not know.
    return plainAddress(this.socket.remoteAddress ?? "");
  }

  get fanout(): TurnFanout {
    return this.shared.fanout;
  }

  send(frames: readonly Frame[]): void {
    if (this.#isOver) return;
    // What topics brought in this turn goes before it. Whoever sends looks at the queue afterwards, so `deliver` need not.
    this.#isSending = true;
    this.fanout.flush();
    this.#isSending = false;
    if (frames.length > 0) this.#write(joined(this.shared.framing)(frames));
  }

  deliver(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#write(bytes);
    if (this.#queueBytes > 0 && !this.#isSending) this.shared.gateway.strained(this.#opened);
  }

  buffered(): number {
    return this.#queueBytes;
  }

  join(topic: string): void {
    this.fanout.join(topic, this);
  }

  leave(topic: string): void {
    this.fanout.leave(topic, this);
  }

  pause(): void {
    // Paused, it would not notice that the client closes its side as well.
    if (!this.#isOver) this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Kernels find dead peers by themselves, but one that has closed its side and left looks alive until something is sent to it. */
  ping(): void {
    const { idle } = this.shared.framing;
    if (this.#isHalfClosed && !this.#isOver && idle !== undefined) this.#write(idle);
  }

  close(goodbye: Disconnect): void {
    if (this.#isOver) return;
    this.#goodbye = goodbye;
    this.#finish();
  }

  cut(): void {
    this.socket.terminate();
  }

  /** Some bytes, in whatever pieces. */
  received(bytes: Uint8Array): void {
    const { gateway, framing } = this.shared;
    if (this.#isOver) return;
    gateway.heard(this.#opened);
    this.#reader.push(bytes);
    if (this.#isNew && speaksTls(this.#reader.peek())) {
      gateway.violated(this.#opened, "badRequest", "this port speaks no TLS");
      return;
    }
    try {
      for (let packet = this.#reader.next(); packet !== null; packet = this.#reader.next()) {
        if (this.#isNew && speaksHttp(packet)) {
          gateway.violated(this.#opened, "badRequest", "this port speaks no HTTP");
          return;
        }
        this.#isNew = false;
        const message = framing.decode(packet);
        // It may be its last: then the reader has nothing left.
        if (message !== null) gateway.receive(this.#opened, message);
      }
      this.#reader.settle();
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** The socket has room again. */
  drained(): void {
    while (this.#queue.length > 0) {
      const bytes = this.#takeQueued();
      const written = this.#hand(bytes);
      if (written < bytes.length) {
        this.#queue.unshift(bytes.subarray(written));
        this.#queueBytes += bytes.length - written;
        break;
      }
    }
    if (this.#isOver && this.#queueBytes === 0) this.socket.shutdown();
    this.shared.gateway.drained(this.#opened);
  }

  /** The client says no more. */
  ended(): void {
    if (this.#isOver) return;
    this.#isHalfClosed = true;
    void this.#conclude();
  }

  closed(error: Error | undefined): void {
    const goodbye = this.#goodbye;
    const code = goodbye?.code ?? (error === undefined ? 1000 : 1006);
    this.#isOver = true;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#reader.clear();
    this.shared.gateway.closed(this.#opened, code, goodbye?.message ?? error?.message ?? "");
  }

  async #conclude(): Promise<void> {
    const { gateway } = this.shared;
    const stays = await gateway.ended(this.#opened);
    if (this.#isOver) return;
    if (this.#reader.rest > 0) gateway.violated(this.#opened, "badRequest", "the last message is not whole");
    else if (stays) this.ping();
    else this.#finish();
  }

  /** A framing that throws anything but a fault has a bug; the client is not to blame, but what it sends can no longer be told apart. */
  #refuse(error: unknown): void {
    const { gateway, messageBytesMax, log } = this.shared;
    if (error instanceof PacketTooLarge) {
      gateway.violated(this.#opened, "messageTooLarge", `at most ${messageBytesMax} bytes (messageBytesMax)`);
      return;
    }
    const isFault = error instanceof FramingFault;
    if (!isFault) log.error("framing failed", { session: this.#opened.id, error });
    gateway.violated(this.#opened, "badRequest", isFault ? error.message : undefined);
  }

  #finish(): void {
    this.#isOver = true;
    this.#reader.clear();
    this.resume();
    if (this.#queueBytes === 0) this.socket.shutdown();
  }

  #write(bytes: Uint8Array): void {
    const written = this.#queue.length > 0 ? 0 : this.#hand(bytes);
    if (written === bytes.length) return;
    this.#queue.push(bytes.subarray(written));
    this.#queueBytes += bytes.length - written;
  }

  /** Returns how much the socket took. */
  #hand(bytes: Uint8Array): number {
    // Negative: it is gone, and `closed` is on its way; nobody will ask for the rest.
    const written = this.socket.write(bytes);
    return written < 0 ? bytes.length : written;
  }

  /** Takes the first piece, or several small ones as one, out of the queue. */
  #takeQueued(): Uint8Array {
    let count = 0;
    let size = 0;
    for (const { length } of this.#queue) {
      if (count > 0 && size + length > WRITE_BYTES) break;
      size += length;
      count++;
    }
    const pieces = this.#queue.splice(0, count);
    this.#queueBytes -= size;
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
  }

  get #opened(): SessionHandle {
    if (this.session === null) throw new Error("the connection has no session yet");
    return this.session;
  }
}

/** A TLS record of a handshake, version 3.x (RFC 8446 section 5.1): no framing of ours has a message that begins so. */
function speaksTls(bytes: Uint8Array): boolean {
  return bytes[0] === 0x16 && bytes[1] === 0x03;
}

/**
 * The first line of a request: a browser, which any page can make send a body of lines to any port. It names the page's origin, and what the
 * HTTP port would refuse for it must not be carried out here.
 */
function speaksHttp(packet: Uint8Array): boolean {
  return /^\w+ \S+ HTTP\/\d\.\d\r?\n$/.test(Buffer.from(packet).toString("latin1"));
}
