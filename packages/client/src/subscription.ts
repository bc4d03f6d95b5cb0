/**
 * One channel as this client has it: asked for or made by the server, its position, and what may be handed over.
 *
 * Every offset is handed over once. A frame counts only while `subscribed`, and only above the position: what comes
 * between an `unsubscribe` and the next `subscribed` belongs to the subscription of before.
 */
import {
  type ERRORS,
  type Json,
  type Member,
  type MessageFrame,
  PERSONAL_NAMESPACE,
  type Position,
  remedyOf,
  type ServerFrame,
  type Since,
  type SubscribedFrame,
} from "@longwire/protocol";
import { Acknowledger } from "./acknowledger.ts";
import { backoffMs } from "./backoff.ts";
import { Emitter } from "./emitter.ts";
import { LongwireError } from "./failures.ts";
import type { Line } from "./line.ts";
import { type Message, messageOf } from "./decode.ts";
import type { Timer } from "./platform.ts";
import type { ChannelState } from "./state.ts";
import { tokenOf } from "./tokens.ts";
import type { Standing } from "./transports/transport.ts";

export interface ChannelOptions {
  /** Where to begin without a position from before; the server's namespace decides unless told. */
  readonly since?: Since;
  /** Be listed as present: `true`, or what others shall see as the member's `data`. */
  readonly presence?: Json;
  /** Receive `join` and `leave`. */
  readonly events?: boolean;
  /** `false`: without this session's own publications. */
  readonly echo?: boolean;
  /** A token for this channel alone. */
  readonly token?: string;
  /** Asked for the channel's token when there is none yet and when the server calls it bad. */
  readonly getToken?: (channel: string) => Promise<string>;
}

export interface Subscribed {
  readonly position: Position;
  readonly recovered: boolean;
}

export interface ChannelEvents<T> {
  message: Message<T>;
  join: Member;
  leave: Member;
  state: ChannelState;
  subscribed: Subscribed;
}

// Typed by the table instead of read from it: the texts of all codes are a fifth of the whole SDK.
const ALREADY_SUBSCRIBED: (typeof ERRORS)["alreadySubscribed"]["code"] = 107;

/** How long the server may take to announce a subscription that it made. */
const ANNOUNCE_MS = 3000;

/** How long the application may take for a token. */
const TOKEN_TIMEOUT_MS = 10_000;

/** Messages of a subscription that the server made, kept until somebody listens. */
const HELD_COUNT_MAX = 256;

export class Subscription {
  readonly name: string;
  readonly emitter: Emitter<ChannelEvents<unknown>>;
  state: ChannelState = { status: "unsubscribed" };
  /** Everything up to here was handed over. */
  position: Position | undefined;
  /** The server subscribed it by itself. */
  made = false;
  readonly #line: Line;
  readonly #acknowledger: Acknowledger;
  #options: ChannelOptions = {};
  #token: string | undefined;
  #wanted = false;
  #attempt = 0;
  #timer: Timer | undefined;
  /** Answers to an older question are no longer of interest. */
  #turn = 0;
  /** A `subscribe` is out and not answered. */
  #asking = false;
  #held: MessageFrame[] = [];
  /** More came than could be held. */
  #spilled = false;

  constructor(line: Line, name: string) {
    this.#line = line;
    this.name = name;
    this.emitter = new Emitter(line.settings.report);
    this.position = line.saved(name);
    this.#acknowledger = new Acknowledger(
      line.settings.clock,
      (offset) =>
        this.state.status === "subscribed" &&
        line.send({ type: "ack", channel: name, offset, epoch: this.position?.epoch }),
    );
  }

  /** Takes options over. A token that was fetched is forgotten. */
  configure(options: ChannelOptions = {}): void {
    this.#options = { ...this.#options, ...options };
    this.#token = this.#options.token;
  }

  subscribe(since?: Since): void {
    if (this.#wanted && !since) return;
    if (since) {
      // The stream that stands, asked for or made by the server, ends first; nobody needs to hear of that.
      if (this.#wanted || this.made) this.#leave();
      this.position = undefined;
      this.#options = { ...this.#options, since };
    }
    this.#wanted = true;
    this.#attempt = 0;
    if (this.state.status === "subscribed" && !since) return;
    this.#move({ status: "subscribing" });
    this.#ask();
  }

  unsubscribe(): void {
    if (!this.#wanted && !this.made) return;
    this.#leave();
    this.#move({ status: "unsubscribed" });
  }

  /** The session stands (anew). */
  up(): void {
    this.#attempt = 0;
    if (this.state.status === "subscribed") return;
    if (this.#wanted) this.#ask();
    else if (this.made) {
      // What the server does not make again was taken away meanwhile. Kept, it would make every `connect` larger.
      this.#timer = this.#line.settings.clock.after(this.#line.settings.requestTimeoutMs, () =>
        this.#end({ status: "unsubscribed" }),
      );
    }
  }

  /** The connection is gone. */
  down(): void {
    this.#pause();
    if (this.state.status === "subscribed") this.#move({ status: "subscribing" });
  }

  /** A frame of this channel. */
  receive(frame: ServerFrame): void {
    if (frame.type === "subscribed") this.#subscribed(frame);
    else if (frame.type === "unsubscribed") {
      // While a question is open, its answer says what holds: this is the end of a subscription of before.
      if (!this.#asking) this.#unsubscribed(frame.code, frame.reason);
    } else if (this.state.status !== "subscribed") return;
    else if (frame.type === "message") this.#message(frame);
    else if (frame.type === "join" || frame.type === "leave") this.emitter.emit(frame.type, frame.member);
  }

  /** Somebody listens now: hands over what was held. */
  release(): void {
    if (!this.emitter.has("message")) return;
    const held = this.#held;
    this.#held = [];
    for (const frame of held) this.#hand(frame);
    if (!this.#spilled) return;
    this.#spilled = false;
    this.#line.reopen();
  }

  acknowledge(): void {
    this.#acknowledger.flush();
  }

  #ask(): void {
    if (!this.#line.connected) return;
    this.#pause();
    const turn = this.#turn;
    const { getToken } = this.#options;
    if (!this.#token && getToken) {
      this.#await(
        tokenOf(() => getToken(this.name)),
        0,
        (token) => {
          this.#token = token;
          this.#ask();
        },
      );
      return;
    }
    this.#asking = true;
    this.#line.ask(this.#command, undefined, (answer) => {
      if (turn !== this.#turn) return;
      this.#asking = false;
      if (!(answer instanceof LongwireError)) this.receive(answer);
      else if (answer.reason === "timeout") this.#retry(0);
      else if (answer.code === ALREADY_SUBSCRIBED) {
        // The server subscribed it by itself meanwhile, and its own `subscribed` is on the way. If none comes, the two
        // sides disagree about something of before, and it is ended there too.
        this.#retry(ANNOUNCE_MS, () => this.#sayUnsubscribe());
      } else if (answer.reason === "refused") this.#unsubscribed(answer.code, answer.message, answer.retryMs);
    });
  }

  get #command(): Extract<Standing, { readonly type: "subscribe" }> {
    const since = this.position ?? this.#options.since;
    // JSON has no place for `getToken` and leaves it away.
    return { ...this.#options, type: "subscribe", channel: this.name, since, token: this.#token };
  }

  /** What asks for it, while it is asked for and while it stands; nothing where the server subscribed it by itself. */
  get standing(): Standing | undefined {
    return this.#asking || (this.state.status === "subscribed" && !this.made) ? this.#command : undefined;
  }

  /**
   * Waits for a token of the application, until something else happens to the channel, and not for ever. Tries again where
   * it is not to be had for now, which says nothing about the channel; becomes `ended` where it never is.
   */
  #await<Value>(given: Promise<Value>, retryMs: number, resolved: (value: Value) => void, ended?: ChannelState): void {
    this.#pause();
    const turn = this.#turn;
    const settle = (run: () => void): void => {
      if (turn !== this.#turn) return;
      this.#pause();
      run();
    };
    const failed = (error: unknown): void =>
      settle(() => {
        if (ended && error instanceof LongwireError && error.remedy !== "retry") {
          this.#end(ended);
          return;
        }
        this.#line.settings.report(error);
        this.#retry(retryMs);
      });
    const late = new LongwireError("timeout", "no token in time");
    this.#timer = this.#line.settings.clock.after(TOKEN_TIMEOUT_MS, () => failed(late));
    given.then((value) => settle(() => resolved(value)), failed);
  }

  /** The server refused or ended it; the code says whether and how to come back. */
  #unsubscribed(code: number | undefined, reason: string | undefined, retryMs: number = 0): void {
    if (!code) return;
    const remedy = remedyOf(code);
    // What the server could not make by itself for now is asked for: nobody else would bring the inbox back.
    if (remedy === "retry" && (this.made || this.name.startsWith(PERSONAL_NAMESPACE))) this.#wanted = true;
    const ended: ChannelState = { status: "unsubscribed", code, reason };
    if (!this.#wanted || remedy === "final") {
      this.#end(ended);
      return;
    }
    this.#pause();
    this.#move({ status: "subscribing" });
    if (remedy === "retry") this.#retry(retryMs);
    else if (this.#options.getToken) {
      this.#token = undefined;
      this.#retry(retryMs);
    } else {
      // The session's token is not good enough.
      const renewed = this.#line.renewToken();
      if (renewed) this.#await(renewed, retryMs, () => this.#retry(retryMs), ended);
      else this.#end(ended);
    }
  }

  #retry(leastMs: number, before?: () => void): void {
    const ms = Math.max(leastMs, backoffMs(this.#line.settings, ++this.#attempt));
    this.#timer = this.#line.settings.clock.after(ms, () => {
      before?.();
      this.#ask();
    });
  }

  #subscribed(frame: SubscribedFrame): void {
    if (frame.id && !this.#wanted) return;
    // Without an id it is news of a standing subscription (another epoch), or the server made this one.
    this.made = !frame.id && (this.made || this.state.status !== "subscribed");
    this.#pause();
    this.#attempt = 0;
    const { epoch, offset, recovered } = frame;
    const before = this.position;
    // A stream that goes on never falls behind what was handed over already; one that does not, starts where it says.
    const goesOn = recovered && before?.epoch === epoch && before.offset > offset;
    if (before?.epoch !== epoch) this.#acknowledger.forget();
    this.position = goesOn ? before : { epoch, offset };
    this.#held = [];
    this.#spilled = false;
    this.#move({ status: "subscribed", recovered, position: this.position });
    this.#moved();
    this.emitter.emit("subscribed", { position: this.position, recovered });
    this.#acknowledger.flush();
  }

  #message(frame: MessageFrame): void {
    const holds = this.#held.length || this.#spilled;
    if (!holds && (!this.made || this.emitter.has("message"))) {
      this.#hand(frame);
      return;
    }
    // A page whose scripts are still loading must not lose its inbox. What does not fit comes again after `reopen`.
    if (this.#held.length < HELD_COUNT_MAX && !this.#spilled) this.#held.push(frame);
    else this.#spilled = true;
    this.release();
  }

  #hand(frame: MessageFrame): void {
    const { offset } = frame;
    const position = this.position;
    if (!position) return;
    if (offset !== undefined) {
      if (offset <= position.offset) return;
      this.position = { epoch: position.epoch, offset };
      this.#moved();
    }
    this.emitter.emit("message", messageOf(frame));
    // After the handlers, and also when one of them threw: a message that always throws must not come back for ever.
    if (offset !== undefined && this.#inbox && this.position?.offset === offset) this.#acknowledger.handled(offset);
  }

  get #inbox(): boolean {
    return this.#options.since === "inbox" || this.name.startsWith(PERSONAL_NAMESPACE);
  }

  #leave(): void {
    // What was handled must not come again.
    this.#acknowledger.flush();
    this.#sayUnsubscribe();
    this.#forget();
  }

  /** Not subscribed there (yet) is as good. */
  #sayUnsubscribe(): void {
    this.#line.ask({ type: "unsubscribe", channel: this.name }, undefined, () => undefined);
  }

  #end(state: ChannelState): void {
    this.#forget();
    this.#move(state);
  }

  #forget(): void {
    this.#pause();
    this.#acknowledger.forget();
    this.#wanted = false;
    this.made = false;
    this.position = undefined;
    this.#held = [];
    this.#spilled = false;
    this.#moved();
  }

  #pause(): void {
    this.#turn++;
    this.#asking = false;
    this.#timer?.cancel();
  }

  #moved(): void {
    this.#line.moved(this.name, this.position, this.made);
  }

  #move(state: ChannelState): void {
    this.state = state;
    this.emitter.emit("state", state);
  }
}
