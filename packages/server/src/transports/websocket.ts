/**
 * WebSocket: Bun's sockets to the gateway, and back. Also the fanout: a native topic reaches all its sockets with the bytes
 * framed once and batched by the runtime.
 *
 * Bun's own backpressure limit is off (`backpressureLimit: 0`): it drops in silence (measured). Its idle timer too: sends
 * reset it, so it never finds a dead peer (measured); pings are the core's.
 */
import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import { plainAddress } from "../base/address-list.ts";
import type { Disconnect } from "../base/failures.ts";
import type { Connection, Fanout, Frame, Hearing } from "../ports/connection.ts";
import type { Gateway, Handshake, SessionHandle } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";

/** What an upgrade leaves for the opened socket. */
export class WebSocketConnection implements Connection {
  socket: ServerWebSocket<WebSocketConnection> | null = null;
  /** Said once the client has taken what is queued before it. */
  #goodbye: Disconnect | null = null;
  session: SessionHandle | null = null;

  constructor(
    readonly fanout: WebSocketFanout,
    readonly protocol: Protocol,
    /** Needed once, at opening; not kept for the life of the connection. */
    public handshake: Handshake | null,
  ) {}

  // On the prototype: as a field it would cost every connection its place.
  get hearing(): Hearing {
    return "pongs";
  }

  // Asked for rarely; kept as a string it would cost every connection some sixty bytes.
  get address(): string {
    return plainAddress(this.socket?.remoteAddress ?? "");
  }

  send(frames: readonly Frame[]): void {
    const { socket } = this;
    if (socket === null) return;
    const { perMessageDeflate } = this.fanout;
    const [only] = frames;
    if (frames.length === 1 && only !== undefined) sendFrame(socket, only, perMessageDeflate);
    else if (frames.length > 1) {
      socket.cork(() => {
        for (const frame of frames) sendFrame(socket, frame, perMessageDeflate);
      });
    }
  }

  buffered(): number {
    return this.socket?.getBufferedAmount() ?? 0;
  }

  join(topic: string): void {
    this.socket?.subscribe(topic);
  }

  leave(topic: string): void {
    this.socket?.unsubscribe(topic);
  }

  pause(): void {
    this.socket?.pause();
  }

  resume(): void {
    if (this.socket?.isPaused === true) this.socket.resume();
  }

  ping(): void {
    this.socket?.ping();
  }

  close(goodbye: Disconnect): void {
    // A paused socket would never see the client's answer to our close frame.
    this.resume();
    this.#goodbye = goodbye;
    this.drained();
  }

  /**
   * Closes as soon as nothing is queued. Closing at once would send the same bytes, but the runtime reports the connection as
   * closed at that moment (measured), and a server that stops would leave with the queue unsent.
   */
  drained(): void {
    if (this.#goodbye === null || this.buffered() > 0) return;
    this.socket?.close(this.#goodbye.code, reasonOf(this.#goodbye.message));
  }

  cut(): void {
    this.socket?.terminate();
  }
}

/** Of a client behind a trusted proxy. A class of its own: to the others a place for the address would be one more field. */
export class ForwardedWebSocketConnection extends WebSocketConnection {
  readonly #address: string;

  constructor(fanout: WebSocketFanout, protocol: Protocol, handshake: Handshake | null, address: string) {
    super(fanout, protocol, handshake);
    this.#address = address;
  }

  override get address(): string {
    return this.#address;
  }
}

/** Smaller frames are not worth the work. */
const DEFLATED_LENGTH_MIN = 1024;

function sendFrame(socket: ServerWebSocket<WebSocketConnection>, frame: Frame, perMessageDeflate: boolean): void {
  const deflated = perMessageDeflate && frame.length >= DEFLATED_LENGTH_MIN;
  if (typeof frame === "string") socket.sendText(frame, deflated);
  else socket.sendBinary(frame, deflated);
}

/** The reason of a close frame has 123 bytes (RFC 6455 section 5.5). */
function reasonOf(text: string): string {
  if (Buffer.byteLength(text) <= 123) return text;
  return new TextDecoder().decode(Buffer.from(text).subarray(0, 120)).replace(/\uFFFD$/, "") + "…";
}

/** The handlers of `Bun.serve({ websocket })`; one for all paths, since the connection knows its protocol. */
export function webSocketHandler(
  gateway: Gateway,
  messageBytesMax: number,
  perMessageDeflate = false,
): WebSocketHandler<WebSocketConnection> {
  return {
    data: undefined as unknown as WebSocketConnection,
    backpressureLimit: 0,
    closeOnBackpressureLimit: false,
    idleTimeout: 0,
    sendPings: false,
    // One compressor and one decompressor for all: those of a connection's own would hold tens of kilobytes each.
    perMessageDeflate: perMessageDeflate && { compress: "shared", decompress: "shared" },
    maxPayloadLength: messageBytesMax,
    open(socket) {
      const connection = socket.data;
      connection.socket = socket;
      const { handshake } = connection;
      if (handshake === null) throw new Error("a socket was opened twice");
      connection.handshake = null;
      connection.session = gateway.open(connection, connection.protocol, handshake);
    },
    message(socket, message) {
      const { session } = socket.data;
      if (session === null) return;
      gateway.receive(session, message);
    },
    drain(socket) {
      socket.data.drained();
      if (socket.data.session !== null) gateway.drained(socket.data.session);
    },
    ping(socket) {
      if (socket.data.session !== null) gateway.heard(socket.data.session);
    },
    pong(socket) {
      if (socket.data.session !== null) gateway.heard(socket.data.session);
    },
    close(socket, code, reason) {
      const connection = socket.data;
      connection.socket = null;
      const tell = (): void => {
        if (connection.session !== null) gateway.closed(connection.session, code, reason);
      };
      // The runtime calls this inside `close`: a gateway that refuses at the opening has not returned its session yet.
      if (connection.session === null) queueMicrotask(tell);
      else tell();
    },
  };
}

/** Topics of one Bun server. The server exists only after its handlers, so it is handed in afterwards. */
export class WebSocketFanout implements Fanout {
  #server: Server<WebSocketConnection> | null = null;

  /** `perMessageDeflate`: what goes to one connection alone may be compressed, if its client has agreed to it. */
  constructor(readonly perMessageDeflate = false) {}

  attach(server: Server<WebSocketConnection>): void {
    this.#server = server;
  }

  publish(topic: string, frame: Frame): boolean {
    // `false`: Bun would compress once per socket, at 13 to 35 times the cost (measured).
    return (this.#server?.publish(topic, frame, false) ?? 1) > 0;
  }
}
