/**
 * A server to script, without a socket.
 *
 *   const server = new FakeServer();
 *   const client = new Client("ws://test/ws", { WebSocket: server.WebSocket, clock });
 *   client.connect();
 *   await settle();                                  // it connected: commands are answered by `server.answers`
 *   server.last.received                             // every frame the client sent on the newest connection
 *   server.last.sent("subscribe")                    // those of one type
 *   server.last.send({ type: "message", … })         // a frame to the client
 *   server.last.close(4200, "bye")                   // the connection ends, without a `disconnect` frame
 *   server.accept = "refuse" | "ignore" | "open"     // what happens to the next connections
 *   server.answers.publish = () => undefined         // do not answer; or return other frames
 *   server.channels.set("a", { epoch: "e", offset: 5 })  // where `subscribed` says that the stream continues
 *   server.connected = { user: "bob" }               // fields of the next `connected`
 *
 * Answers arrive after the client's own turn, as over a network: `await settle()` before looking.
 */
import type { Command, CommandType, ConnectedFrame, Position, ServerFrame } from "@longwire/protocol";
import type { WebSocketConstructor, WebSocketLike } from "../../src/platform.ts";

export type Sent<Type extends CommandType> = Extract<Command, { type: Type }> & { readonly id: number };
type Answers = { [Type in CommandType]?: (command: Sent<Type>, connection: FakeConnection) => ServerFrame | undefined };

export class FakeConnection {
  readonly received: Command[] = [];
  /** Whether the client closed it. */
  closed = false;
  /** The client's end. */
  readonly socket: WebSocketLike = {
    onopen: null,
    onmessage: null,
    onclose: null,
    onerror: null,
    send: (text) => this.#receive(text),
    close: () => void (this.closed = true),
  };
  readonly #server: FakeServer;

  constructor(
    server: FakeServer,
    readonly url: string,
  ) {
    this.#server = server;
    queueMicrotask(() => {
      if (server.accept === "refuse") this.close(1006, "");
      else if (server.accept === "open") this.socket.onopen?.({} as never);
    });
  }

  sent<Type extends CommandType>(type: Type): Sent<Type>[] {
    return this.received.filter((command) => command.type === type) as Sent<Type>[];
  }

  /** From the server to the client; a string goes as it is. */
  send(frame: ServerFrame | string): void {
    const data = typeof frame === "string" ? frame : JSON.stringify(frame);
    this.socket.onmessage?.({ data } as never);
  }

  /** The connection ends by itself or by the server. */
  close(code: number, reason: string): void {
    this.socket.onclose?.({ code, reason } as never);
  }

  #receive(text: string): void {
    const command = JSON.parse(text) as Command;
    this.received.push(command);
    const answer = this.#server.answers[command.type] as
      ((command: Command, connection: this) => ServerFrame | undefined) | undefined;
    const frame = answer?.(command, this);
    if (frame !== undefined) queueMicrotask(() => this.send(frame));
  }
}

export class FakeServer {
  accept: "open" | "refuse" | "ignore" = "open";
  readonly connections: FakeConnection[] = [];
  readonly channels: Map<string, Position> = new Map<string, Position>();
  connected: Partial<ConnectedFrame> = {};
  answers: Answers = {
    connect: ({ id }) => ({
      type: "connected",
      id,
      session: `s${this.connections.length}`,
      ping: 25_000,
      ...this.connected,
    }),
    subscribe: ({ id, channel, since }) => ({
      type: "subscribed",
      id,
      channel,
      ...(typeof since === "object" ? since : (this.channels.get(channel) ?? { epoch: "e", offset: 0 })),
      recovered: true,
    }),
    unsubscribe: ({ id, channel }) => ({ type: "unsubscribed", ...(id !== undefined && { id }), channel }),
    publish: ({ id, channel }) => ({ type: "published", id, channel, epoch: "e", offset: 1 }),
    refresh: ({ id }) => ({ type: "refreshed", id }),
    ping: () => ({ type: "pong" }),
  };

  readonly WebSocket: WebSocketConstructor;

  constructor() {
    const open = (url: string): WebSocketLike => {
      const connection = new FakeConnection(this, url);
      this.connections.push(connection);
      return connection.socket;
    };
    // A constructor may return another object than its own.
    this.WebSocket = function Socket(url: string) {
      return open(url);
    } as unknown as WebSocketConstructor;
  }

  /** The newest connection. */
  get last(): FakeConnection {
    const last = this.connections.at(-1);
    if (last === undefined) throw new Error("the client opened no connection");
    return last;
  }
}

/** A `message` frame. */
export function message(channel: string, offset: number, data: string = `m${offset}`): ServerFrame {
  return { type: "message", channel, offset, data };
}
