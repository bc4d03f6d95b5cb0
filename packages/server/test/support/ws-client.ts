/**
 * A bare client of the native protocol over a real WebSocket, for tests. It keeps no positions, answers no pings, never
 * comes back: what a test sees is what the server sent.
 *
 *     const bob = await connectClient(server.url, { token });          // sends `connect`, waits for `connected`
 *     await bob.request({ type: "subscribe", channel: "room:1" });      // gives it an id, waits for its reply
 *     await bob.next((frame) => frame.type === "message");              // the next frame like this, from the log or to come
 *     expect(bob.messages("room:1").map(({ offset }) => offset)).toEqual([1, 2, 3]);
 *     bob.terminate();                                                  // as if the cable were cut
 *     expect((await bob.closed).code).toBe(4101);
 *
 * With a token or channels in `query` the server connects by itself, and no `connect` is sent; `connect: false` sends none and
 * waits for nothing. `frames` and `texts` hold everything that came. `next` hands out each frame once, in the order of the log, and
 * `request` takes its reply out of it. Every wait ends by a timeout or with the connection, and its error tells what came last.
 */
import type { Command, ConnectCommand, ConnectedFrame, MessageFrame, ServerFrame } from "@longwire/protocol";

type WithoutId<T> = T extends unknown ? Omit<T, "id"> : never;

/** A frame to send: a command, or on purpose something else. */
export type Sendable = WithoutId<Command> | Command | Readonly<Record<string, unknown>>;

export interface ClientOptions extends Omit<ConnectCommand, "type" | "id"> {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** false: send no `connect`, wait for nothing but the opening. */
  readonly connect?: boolean;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** Command to reply. */
interface Replies {
  connect: "connected";
  subscribe: "subscribed";
  unsubscribe: "unsubscribed";
  publish: "published";
  ack: "acked";
  presence: "presence";
  history: "history";
  call: "result";
  refresh: "refreshed";
  ping: "pong";
}

interface CuttableSocket extends WebSocket {
  terminate(): void;
}

// The runtime's class can more than the browser's, whose types win here: headers in the handshake, and cutting the connection.
const RuntimeWebSocket = WebSocket as unknown as new (
  url: URL,
  options?: { readonly headers: Readonly<Record<string, string>> },
) => CuttableSocket;

/** How long a wait lasts unless told otherwise: long enough for a machine that is busy. */
export const WAIT_MS = 10_000;

/** Opens a client. `url` may be `http:` or `ws:`; without a path it means `/ws`. */
export async function connectClient(url: string, options: ClientOptions = {}): Promise<TestClient> {
  const { query = {}, headers, connect = true, ...command } = options;
  const target = new URL(url);
  target.protocol = target.protocol.replace("http", "ws");
  if (target.pathname === "/") target.pathname = "/ws";
  for (const [key, value] of Object.entries(query)) target.searchParams.set(key, value);
  const client = new TestClient(new RuntimeWebSocket(target, headers === undefined ? undefined : { headers }));
  await client.opened;
  if (!connect || query["frames"] === "data") return client;
  const byQuery = ["token", "channels", "channel", "session"].some((key) => target.searchParams.has(key));
  if (byQuery) client.greeted((await client.next((frame) => frame.type === "connected")) as ConnectedFrame);
  else client.greeted(await client.request({ type: "connect", ...command }));
  return client;
}

interface Waiter {
  /** Looks at the log; true when it has what it waits for. */
  readonly look: () => boolean;
  readonly fail: (error: Error) => void;
}

export class TestClient {
  /** Every frame that came, in order; texts that are no JSON objects stand in `texts` alone. */
  readonly frames: ServerFrame[] = [];
  readonly texts: string[] = [];
  readonly opened: Promise<void>;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<Closed>;
  session = "";
  user: string | undefined = undefined;

  #lastId = 0;
  #ending: Closed | undefined = undefined;
  readonly #taken = new Set<ServerFrame>();
  readonly #waiters = new Set<Waiter>();

  constructor(private readonly socket: CuttableSocket) {
    socket.addEventListener("message", (event) => this.#received(event.data));
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        this.#ending = { code, reason };
        resolve(this.#ending);
        this.#look();
      });
    });
    this.opened = new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("close", ({ code, reason }) => reject(new Error(`not opened: ${code} ${reason}`)));
    });
    // A test that awaits `opened` sees the failure there; one that does not must not die of it.
    this.opened.catch(() => undefined);
  }

  /** What the server said of us. Called by `connectClient`. */
  greeted({ session, user }: ConnectedFrame): void {
    this.session = session;
    this.user = user;
  }

  get isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Sends a frame, or text or bytes as they are. */
  send(frame: Sendable | string | Uint8Array<ArrayBuffer>): void {
    this.socket.send(typeof frame === "string" || frame instanceof Uint8Array ? frame : JSON.stringify(frame));
  }

  /** Sends a command with an id of its own and waits for the reply; an `error` rejects with `RequestError`. */
  async request<Type extends keyof Replies>(
    command: WithoutId<Extract<Command, { type: Type }>> & { type: Type },
    timeoutMs?: number,
  ): Promise<Extract<ServerFrame, { type: Replies[Type] }>> {
    const reply = await this.ask(command, timeoutMs);
    if (reply.type === "error") throw new RequestError(reply.code, reply.message);
    return reply as Extract<ServerFrame, { type: Replies[Type] }>;
  }

  /** As `request`, for any frame, and the reply may be an `error`. */
  async ask(command: Sendable, timeoutMs?: number): Promise<ServerFrame> {
    const id = ++this.#lastId;
    this.send({ ...command, id });
    return this.next((frame) => "id" in frame && frame.id === id, timeoutMs);
  }

  /** The first frame like this that was not handed out before. */
  async next(like: (frame: ServerFrame) => boolean, timeoutMs = WAIT_MS): Promise<ServerFrame> {
    const found: ServerFrame[] = [];
    let at = 0;
    // What was looked at once is not looked at again: waiting within a flood must not cost its square.
    await this.until(() => {
      for (; at < this.frames.length && found.length === 0; at++) {
        const frame = this.frames[at];
        if (frame === undefined || this.#taken.has(frame) || !like(frame)) continue;
        this.#taken.add(frame);
        found.push(frame);
      }
      return found.length > 0;
    }, timeoutMs);
    return found[0] as ServerFrame;
  }

  /** Waits until something is true of what came; it is looked at with each frame. */
  until(isTrue: () => boolean, timeoutMs = WAIT_MS): Promise<void> {
    if (isTrue()) return Promise.resolve();
    if (this.#ending !== undefined) return Promise.reject(this.#complaint("the connection is closed"));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => waiter.fail(this.#complaint(`nothing in ${timeoutMs} ms`)), timeoutMs);
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const waiter: Waiter = {
        look: () => {
          if (!isTrue()) return false;
          finish();
          resolve();
          return true;
        },
        fail: (error) => {
          finish();
          reject(error);
        },
      };
      this.#waiters.add(waiter);
    });
  }

  /** The publications of a channel that came so far. */
  messages(channel: string): MessageFrame[] {
    return this.frames.filter((frame) => frame.type === "message").filter((frame) => frame.channel === channel);
  }

  /** Waits until so many publications of the channel came, and returns them. */
  async received(channel: string, count: number, timeoutMs?: number): Promise<MessageFrame[]> {
    let seen = 0;
    let at = 0;
    await this.until(() => {
      for (; at < this.frames.length; at++) {
        const frame = this.frames[at];
        if (frame?.type === "message" && frame.channel === channel) seen++;
      }
      return seen >= count;
    }, timeoutMs);
    return this.messages(channel);
  }

  /** Says goodbye and waits for the end. */
  close(code = 1000, reason = ""): Promise<Closed> {
    this.socket.close(code, reason);
    return this.closed;
  }

  /** Cuts the connection without a word. */
  terminate(): void {
    this.socket.terminate();
  }

  #received(data: unknown): void {
    const text = typeof data === "string" ? data : `(binary: ${String(data)})`;
    this.texts.push(text);
    const frame = parsed(text);
    if (frame !== undefined) this.frames.push(frame);
    this.#look();
  }

  #look(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.look() && this.#ending !== undefined) waiter.fail(this.#complaint("the connection closed"));
    }
  }

  #complaint(what: string): Error {
    const ending = this.#ending === undefined ? "" : ` (${this.#ending.code} ${this.#ending.reason})`;
    const last = this.texts.slice(-5).map((text) => `\n  ${text.slice(0, 300)}`);
    return new Error(`${what}${ending}; of ${this.texts.length} frames the last were:${last.join("")}`);
  }
}

/** The server answered `error`. */
export class RequestError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(`${code} ${message}`);
  }
}

function parsed(text: string): ServerFrame | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isFrame = typeof value === "object" && value !== null && "type" in value;
    return isFrame ? (value as ServerFrame) : undefined;
  } catch {
    return undefined;
  }
}
