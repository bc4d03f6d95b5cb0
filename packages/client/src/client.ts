/** The client: one connection, the channels on it, and requests. */
import { type Json, personalChannel, type Position } from "@longwire/protocol";
import { Channel } from "./channel.ts";
import { Connector, type ConnectorEvents } from "./connector.ts";
import { Emitter, type Handler } from "./emitter.ts";
import { LongwireError, refusal } from "./failures.ts";
import { type Line, reach, request } from "./line.ts";
import { type Message, messageOf } from "./decode.ts";
import { type ClientOptions, type Settings, settle } from "./options.ts";
import { Persistence } from "./persistence.ts";
import { resolveUrl } from "./platform.ts";
import { type Draft, Requests } from "./requests.ts";
import type { ConnectionState } from "./state.ts";
import { type ChannelOptions, Subscription } from "./subscription.ts";
import { Tokens } from "./tokens.ts";
import { availableTransports } from "./transports/available.ts";

export interface ClientEvents {
  state: ConnectionState;
  /** The server spoke to this session alone; `channel` is empty. */
  message: Message<Json>;
  /** What handlers throw and `getToken` fails with; also told to `onError`. */
  error: unknown;
}

export class Client {
  readonly #settings: Settings;
  readonly #emitter: Emitter<ClientEvents>;
  readonly #persistence: Persistence;
  readonly #requests: Requests;
  readonly #tokens: Tokens;
  readonly #connector: Connector;
  readonly #line: Line;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #channels = new Map<string, Channel<never>>();
  /** Where the inbox lives; nowhere yet while the user is not known. */
  #inbox: Subscription;
  /** The inbox before anybody is known. Its handlers are the inbox's, whoever the user becomes. */
  readonly #nobody: Subscription;
  readonly #inboxChannel: Channel<never>;
  #session: string | undefined;
  #surrounded: (() => void)[] = [];

  /** `url` is where the page came from unless told. Nothing happens before `connect()`. */
  constructor(url?: string, options: ClientOptions = {}) {
    const given = settle(options);
    const address = resolveUrl(url);
    this.#emitter = new Emitter(given.report);
    const report = (error: unknown): void => {
      if (options.onError || !this.#emitter.has("error")) given.report(error);
      this.#emitter.emit("error", error);
    };
    const settings = { ...given, report };
    this.#settings = settings;
    this.#persistence = new Persistence(settings, address);
    this.#session = this.#persistence.takeSession();
    this.#requests = new Requests(settings, (text) => this.#connector.transmit(text));
    this.#tokens = new Tokens(settings, (token) => this.#refresh(token));
    this.#connector = new Connector(
      settings,
      address,
      availableTransports(settings),
      this.#persistence.transport,
      this.#tokens,
      this.#makeEvents(),
    );
    this.#line = this.#makeLine();
    this.#inbox = this.#nobody = new Subscription(this.#line, personalChannel(""));
    this.#inboxChannel = new Channel(this.#line, () => this.#inbox, this.#nobody.emitter);
    for (const [channel, { made }] of this.#persistence.positions) {
      if (made) this.#subscription(channel).made = true;
    }
  }

  get state(): ConnectionState {
    return this.#connector.state;
  }

  on<Name extends keyof ClientEvents>(event: Name, handler: Handler<ClientEvents[Name]>): () => void {
    return this.#emitter.on(event, handler);
  }

  /** Connects, and stays connected; while `waiting`, tries at once. */
  connect(): this {
    this.#watchSurroundings();
    this.#connector.connect();
    return this;
  }

  /** Resolves once connected; fails when the server says not to come back, or `disconnect()` is called. */
  ready(): Promise<void> {
    return reach<ConnectionState>(this.#line, this, "connected");
  }

  /**
   * Ends the connection; requests that wait fail. Channels stay asked for: `connect()` brings them back. Tokens that
   * `getToken` gave are forgotten: whoever connects next may be another user.
   */
  disconnect(): void {
    this.#unwatchSurroundings();
    this.#leave();
    this.#tokens.forget();
    for (const subscription of this.#subscriptions.values()) subscription.configure();
    this.#connector.disconnect();
  }

  /** The channel of this name; the same object each time. Options are taken over, for the next subscribe. */
  channel<T = Json>(name: string, options?: ChannelOptions): Channel<T> {
    const subscription = this.#subscription(name);
    if (options) subscription.configure(options);
    let channel = this.#channels.get(name);
    if (!channel) {
      channel = new Channel(this.#line, () => subscription, subscription.emitter);
      this.#channels.set(name, channel);
    }
    return channel;
  }

  /** The personal channel of the user that the server sees in this client. It needs no subscribe. */
  inbox<T = Json>(): Channel<T> {
    return this.#inboxChannel;
  }

  /** Asks the application behind the gateway. Not repeated after a cut: it could be done twice. */
  async call<T = Json>(method: string, data?: Json): Promise<T> {
    const draft: Draft = { type: "call", method, data };
    const frame = await request(this.#line, draft, "once", "result");
    return frame.data as T;
  }

  #makeEvents(): ConnectorEvents {
    return {
      state: (state) => {
        if (state.status === "connected") this.#persistence.keepTransport(state.transport);
        const end = endOf(state);
        if (end) this.#requests.fail(end);
        this.#emitter.emit("state", state);
      },
      greeting: () => ({ session: this.#session, since: this.#madePositions() }),
      subscribes: () => [...this.#subscriptions.values()].flatMap((subscription) => subscription.standing ?? []),
      up: ({ session, user }) => {
        this.#session = session;
        if (!this.#settings.surroundings.hides) this.#persistence.keepSession(session);
        if (user) this.#moveInbox(this.#subscription(personalChannel(user)));
        for (const subscription of this.#subscriptions.values()) subscription.up();
        this.#requests.up();
      },
      down: (tooLarge) => {
        // First, so that a subscribe that was too large is refused; afterwards nobody waits for its answer any more.
        this.#requests.down(tooLarge);
        for (const subscription of this.#subscriptions.values()) subscription.down();
      },
      frame: (frame) => {
        if (this.#requests.answer(frame)) return;
        const { channel } = frame as { readonly channel?: string };
        // Only the server itself makes a subscription that nobody here asked for.
        const made = frame.type === "subscribed" && !frame.id;
        if (channel) (made ? this.#subscription(channel) : this.#subscriptions.get(channel))?.receive(frame);
        // A refusal that nobody waits for: of an acknowledgement, say.
        else if (frame.type === "error") this.#settings.report(refusal(frame));
        else if (frame.type === "message") this.#emitter.emit("message", messageOf(frame));
      },
      forgetSession: () => (this.#session = undefined),
    };
  }

  #makeLine(): Line {
    const settings = this.#settings;
    const connector = this.#connector;
    const word = (): string => settings.random().toString(36).slice(2);
    const keyPrefix = word() + word();
    let lastKey = 0;
    return {
      settings,
      get connected() {
        return connector.state.status === "connected";
      },
      send: (draft) => connector.send(draft),
      ask: (draft, policy, answer) => {
        const { ended } = this.#line;
        if (ended) answer(ended);
        else this.#requests.ask(draft, policy, answer);
      },
      renewToken: () => (this.#tokens.renewable ? this.#tokens.renew() : undefined),
      saved: (channel) => this.#persistence.positions.get(channel),
      moved: (channel, position, made) =>
        this.#persistence.set(channel, position && { ...position, ...(made && { made }) }),
      newKey: () => `${keyPrefix}-${++lastKey}`,
      reopen: () => connector.reopen(),
      get ended() {
        // While idle, `connect()` may still be called.
        return connector.state.status === "closed" ? endOf(connector.state) : undefined;
      },
      onEnd: (run) =>
        this.on("state", (state) => {
          const error = endOf(state);
          if (error) run(error);
        }),
    };
  }

  async #refresh(token: string): Promise<number | undefined> {
    try {
      const draft: Draft = { type: "refresh", token };
      const frame = await request(this.#line, draft, undefined, "refreshed");
      return frame.expires;
    } catch (error) {
      // The connection is gone, and the next one begins with the new token anyway.
      if (error instanceof LongwireError && error.reason === "lost") return undefined;
      throw error;
    }
  }

  #subscription(name: string): Subscription {
    let subscription = this.#subscriptions.get(name);
    if (!subscription) {
      subscription = new Subscription(this.#line, name);
      this.#subscriptions.set(name, subscription);
    }
    return subscription;
  }

  /** The user became known, or another one: the inbox's handlers stay with the inbox. */
  #moveInbox(inbox: Subscription): void {
    this.#inbox.emitter.forward(undefined);
    inbox.emitter.forward(this.#nobody.emitter);
    this.#inbox = inbox;
  }

  #madePositions(): Record<string, Position> | undefined {
    const made = [...this.#subscriptions.values()].flatMap(({ name, made, position }) =>
      made && position ? [[name, { epoch: position.epoch, offset: position.offset }] as const] : [],
    );
    return made.length ? Object.fromEntries(made) : undefined;
  }

  /** The page goes: what is on its way must not be lost with it. */
  #leave(): void {
    for (const subscription of this.#subscriptions.values()) subscription.acknowledge();
    this.#persistence.write();
    this.#persistence.keepSession(this.#session);
  }

  #watchSurroundings(): void {
    if (this.#surrounded.length) return;
    const { surroundings } = this.#settings;
    const nudge = (): void => this.#connector.nudge();
    this.#surrounded = [
      surroundings.on("online", nudge),
      surroundings.on("visible", nudge),
      surroundings.on("offline", () => this.#connector.offline()),
      surroundings.on("hide", () => this.#leave()),
      surroundings.on("show", () => {
        // The page is back, and with it the tab's session: a copy of the tab must not find it.
        this.#persistence.takeSession();
        nudge();
      }),
    ];
  }

  #unwatchSurroundings(): void {
    for (const off of this.#surrounded) off();
    this.#surrounded = [];
  }
}

/** Why nothing more comes in this state, unless the application asks for it. */
function endOf(state: ConnectionState): LongwireError | undefined {
  if (state.status === "closed") return new LongwireError("disconnected", state.reason, state.code);
  return state.status === "idle" ? new LongwireError("disconnected", "disconnected") : undefined;
}

/** Makes a client and connects it. */
export function connect(url?: string, options?: ClientOptions): Client {
  return new Client(url, options).connect();
}
