/**
 * The connection: one state at a time, and what moves it from one to the next. It opens, greets, listens for life, and
 * comes back as the codes allow; what is said on a standing connection is the client's.
 */
import { type Command, type ConnectedFrame, type DISCONNECTS, remedyOf, type ServerFrame } from "@longwire/protocol";
import { backoffMs } from "./backoff.ts";
import { type Climber, climber } from "./climber.ts";
import { decodeFrame } from "./decode.ts";
import { Liveness } from "./liveness.ts";
import type { Settings } from "./options.ts";
import type { Timer } from "./platform.ts";
import type { Draft } from "./requests.ts";
import type { ConnectionState } from "./state.ts";
import type { Tokens } from "./tokens.ts";
import { BROKEN, type Link, type Standing, type Transport } from "./transports/transport.ts";

/** A connection that held this long, or longer than a ping interval, counts as stable. */
const STABLE_MS = 5000;
/** The id of `connect`: other requests count upwards from 1. */
const CONNECT_ID = 1e15;
// Typed by the table instead of read from it: the texts of all codes are a fifth of the whole SDK.
const REPLACED: (typeof DISCONNECTS)["replaced"]["code"] = 4101;
const MESSAGE_TOO_LARGE: (typeof DISCONNECTS)["messageTooLarge"]["code"] = 4207;
/** The same from the runtime of a server, or from a proxy before it (RFC 6455, 7.4.1). */
const TOO_LARGE = 1009;

export interface ConnectorEvents {
  state(state: ConnectionState): void;
  /** What `connect` shall say beside the token. */
  greeting(): { readonly session: string | undefined; readonly since: Extract<Command, { type: "connect" }>["since"] };
  /** What is subscribed, and what is asked for. */
  subscribes(): readonly Standing[];
  /** The session stands. Called before the state says so. */
  up(frame: ConnectedFrame): void;
  /** It no longer does. `tooLarge`: because of the size of something that was sent. */
  down(tooLarge: boolean): void;
  /** A frame for the client. */
  frame(frame: ServerFrame): void;
  /** Another tab goes on with this session: do not ask for it again. */
  forgetSession(): void;
}

export class Connector {
  state: ConnectionState = { status: "idle" };
  readonly #settings: Settings;
  readonly #url: string;
  readonly #transports: readonly Transport[];
  readonly #tokens: Tokens;
  readonly #events: ConnectorEvents;
  readonly #liveness: Liveness;
  readonly #climber: Climber;
  /** The transport to begin with: what worked last. */
  #best: number;
  /** So many after it were tried without success. */
  #tried = 0;
  #link: Link | undefined;
  #timer: Timer | undefined;
  #stable: Timer | undefined;
  /** Attempts since the backoff began. */
  #attempt = 0;
  /** The server asked not to come back before. */
  #notBefore = 0;
  /** What an older attempt started must not act on this one. */
  #turn = 0;

  /** `transports` in the order of preference; `best` names the one that worked on the page before. */
  constructor(
    settings: Settings,
    url: string,
    transports: readonly Transport[],
    best: string | undefined,
    tokens: Tokens,
    events: ConnectorEvents,
  ) {
    this.#settings = settings;
    this.#url = url;
    this.#transports = transports;
    this.#best = Math.max(
      0,
      transports.findIndex(({ name }) => name === best),
    );
    this.#tokens = tokens;
    this.#events = events;
    this.#liveness = new Liveness(
      settings.clock,
      () => void this.send({ type: "ping" }),
      () => this.#lost(BROKEN, "no word in time"),
    );
    this.#climber = climber(settings, url, transports, (index) => {
      this.#best = index;
      this.#open();
    });
  }

  /** Opens from `idle` and `closed`, and tries at once while `waiting`. */
  connect(): void {
    const { status } = this.state;
    if (status === "connected" || status === "connecting") return;
    if (status !== "waiting") this.#attempt = 0;
    this.#open();
  }

  disconnect(): void {
    if (this.state.status === "idle" || !this.#drop(false, { status: "idle" })) return;
    this.#attempt = 0;
    this.#move({ status: "idle" });
  }

  /** Gives a standing connection up for a new one. */
  reopen(): void {
    if (this.state.status === "connected") this.#open();
  }

  /** `false` unless connected. */
  send(draft: Draft): boolean {
    return this.transmit(JSON.stringify(draft));
  }

  transmit(text: string): boolean {
    if (this.state.status !== "connected") return false;
    this.#link?.send(text);
    return true;
  }

  /** Something suggests that the network is back or the page in use again: find out, or try at once. */
  nudge(): void {
    const { status } = this.state;
    if (status === "connected") this.#liveness.check();
    else if (status === "waiting" && this.#settings.clock.now() >= this.#notBefore) this.#open();
  }

  /** The platform says that there is no network. It can be wrong (a server on this machine), so the longest wait goes on. */
  offline(): void {
    if (this.state.status !== "waiting") return;
    this.#wait(this.#notBefore - this.#settings.clock.now(), this.state.code, "offline", false);
  }

  #open(tried: number = 0): void {
    if (!this.#drop()) return;
    const turn = this.#turn;
    const { clock, requestTimeoutMs, report } = this.#settings;
    this.#tried = tried;
    this.#timer = clock.after(requestTimeoutMs, () => this.#lost(BROKEN, "no token in time"));
    this.#move({ status: "connecting", attempt: this.#attempt });
    if (turn !== this.#turn) return;
    if (this.#tokens.current || !this.#tokens.renewable) {
      this.#dial();
      return;
    }
    this.#tokens.obtain().then(
      () => turn === this.#turn && this.#dial(),
      (error: unknown) => {
        report(error);
        if (turn === this.#turn) this.#lost(BROKEN, "no token");
      },
    );
  }

  get #transport(): Transport {
    const { length } = this.#transports;
    return this.#transports[(this.#best + this.#tried) % length] as Transport;
  }

  #dial(): void {
    const turn = this.#turn;
    const { clock, requestTimeoutMs, transportTimeoutMs, report } = this.#settings;
    const timeoutMs = this.#last ? requestTimeoutMs : Math.min(transportTimeoutMs, requestTimeoutMs);
    this.#timer?.cancel();
    this.#timer = clock.after(timeoutMs, () => this.#ended(BROKEN, "no answer in time"));
    try {
      this.#link = this.#transport.open(this.#url, {
        standing: () => [this.#greeting, ...this.#events.subscribes()],
        opened: () => this.#link?.send(JSON.stringify({ ...this.#greeting, id: CONNECT_ID })),
        received: (message) => turn === this.#turn && this.#received(message),
        closed: (...end) => turn === this.#turn && this.#ended(...end),
      });
    } catch (error) {
      report(error);
      this.#ended(BROKEN, String(error));
    }
  }

  /** No other transport is left to try. */
  get #last(): boolean {
    return this.#tried + 1 >= this.#transports.length;
  }

  /** A transport ended. One that never carried a word of the server may be blocked, and the next one not. */
  #ended(code: number, reason: string, after?: number): void {
    if (this.state.status !== "connecting" || code >= 4000 || this.#last) {
      this.#lost(code, reason, after);
      return;
    }
    this.#drop();
    this.#tried++;
    this.#dial();
  }

  get #greeting(): Standing {
    const { client } = this.#settings;
    return { type: "connect", token: this.#tokens.current, client, ping: true, ...this.#events.greeting() };
  }

  #received(message: ServerFrame | string): void {
    this.#liveness.heard();
    if (message === "") return;
    const frame = decodeFrame(message);
    if (!frame) {
      const reason = `no frame: ${JSON.stringify(message).slice(0, 100)}`;
      // A page of something on the way, instead of a greeting.
      if (this.state.status === "connecting") this.#ended(BROKEN, reason);
      else this.#settings.report(new TypeError(reason));
      return;
    }
    if (frame.type === "connected") this.#connected(frame);
    else if (frame.type === "disconnect") this.#lost(frame.code, frame.reason, frame.after, frame.reconnect);
    else if (frame.type === "error" && frame.id === CONNECT_ID) this.#lost(frame.code, frame.message, frame.retry);
    else if (frame.type === "ping") {
      this.#attempt = 0;
      this.send({ type: "pong" });
    } else this.#events.frame(frame);
  }

  #connected(frame: ConnectedFrame): void {
    const { session, user, ping, resumed = false } = frame;
    // A one-way transport is greeted with each request; only a session that could not be resumed on the way is news.
    if (this.state.status === "connected" && this.state.session === session) return;
    const turn = this.#turn;
    this.#timer?.cancel();
    this.#notBefore = 0;
    this.#best = (this.#best + this.#tried) % this.#transports.length;
    this.#tried = 0;
    this.#stable?.cancel();
    if (this.#settings.resetOn === "open") this.#attempt = 0;
    else this.#stable = this.#settings.clock.after(Math.min(STABLE_MS, ping || STABLE_MS), () => (this.#attempt = 0));
    this.#liveness.start(ping);
    this.#tokens.renewBefore(frame.expires);
    this.#climber.start(this.#best);
    const transport = this.#transport.name;
    this.state = { status: "connected", session, user, resumed, transport };
    // Subscriptions go out before what handlers of the state may send.
    this.#events.up(frame);
    if (turn === this.#turn) this.#events.state(this.state);
  }

  /** The connection ended or did not come about: the code says what to do. */
  #lost(code: number, reason: string, after: number = 0, reconnect: boolean = true): void {
    const tooLarge = code === TOO_LARGE || code === MESSAGE_TOO_LARGE;
    const replaced = code === REPLACED;
    if (!this.#drop(tooLarge)) return;
    // Two tabs had one session, and the other keeps it: this one takes a new session.
    if (replaced) this.#events.forgetSession();
    const remedy = replaced ? "retry" : remedyOf(code);
    if (remedy === "final" || (!reconnect && !replaced) || (remedy === "refresh" && !this.#tokens.renewable)) {
      this.#move({ status: "closed", code, reason });
      return;
    }
    if (remedy === "refresh") this.#tokens.current = undefined;
    const atOnce = (replaced || remedy === "refresh") && !this.#attempt && !after;
    const { clock, surroundings } = this.#settings;
    this.#attempt++;
    if (atOnce) {
      this.#open(this.#tried);
      return;
    }
    this.#notBefore = clock.now() + after;
    this.#wait(Math.max(after, backoffMs(this.#settings, this.#attempt)), code, reason, surroundings.online());
  }

  /** For at least so long; without a network, no less than the longest backoff. */
  #wait(leastMs: number, code: number, reason: string, online: boolean): void {
    const { backoff, clock } = this.#settings;
    const ms = online ? leastMs : Math.max(leastMs, backoff.maxMs);
    this.#timer?.cancel();
    this.#timer = clock.after(ms, () => this.#open());
    this.#move({ status: "waiting", attempt: this.#attempt, retryAt: clock.now() + ms, code, reason });
  }

  /**
   * Leaves whatever stands or is being opened. `false`: somebody who heard of it asked for something else meanwhile
   * (`disconnect()` in a handler), which came later and counts.
   */
  #drop(tooLarge: boolean = false, next: ConnectionState = { status: "connecting", attempt: this.#attempt }): boolean {
    const turn = ++this.#turn;
    this.#timer?.cancel();
    this.#stable?.cancel();
    this.#liveness.stop();
    this.#climber.stop();
    this.#tokens.stop();
    const link = this.#link;
    this.#link = undefined;
    link?.close();
    if (this.state.status !== "connected") return true;
    // No longer connected for whoever sends from `down`; the caller says what follows.
    this.state = next;
    this.#events.down(tooLarge);
    return turn === this.#turn;
  }

  #move(state: ConnectionState): void {
    this.state = state;
    this.#events.state(state);
  }
}
