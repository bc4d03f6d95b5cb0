/**
 * Calls on their way to the servers that have their keys.
 *
 * A refusal can mean that a call is to be sent again: the script is not known there (any more), the slot has moved. What was sent behind it
 * may have been refused too, or not, so sending each again by itself would turn their order round. Therefore calls of one lane (one slot; on a
 * single server there is one lane) wait from the first such refusal until all that are on their way have come back; then they go on in order.
 */
import type { Clock } from "../../base/clock.ts";
import { notSent, RedisRefusal, stateOf } from "./failures.ts";
import type { Script } from "./link.ts";

/** How often one call is sent, at most: of slots that move many wait for the last key. */
const TRIES_MAX = 100;
const PAUSE_MS = 50;

/** Sends a command to a server; undefined while it cannot be reached. */
export type Send = ((command: readonly string[], durable: boolean) => Promise<unknown>) | undefined;

export interface Route {
  slotOf(key: string): number;
  senderOf(slot: number): Send;
  /** For `ASK`: the server at this address, for one command. */
  asked(address: string): Send;
  /** The slot is there now. */
  redirected(slot: number, address: string): void;
  /** Redis refused because of its state; `key` is one that it refused. */
  refused(state: string, key: string, refusal: RedisRefusal): void;
  /** Why there is no sender. */
  readonly fault: string | undefined;
}

interface Call {
  /** Without what names the script. */
  readonly rest: readonly string[];
  readonly script: Script | undefined;
  readonly key: string;
  readonly durable: boolean;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
  tries: number;
  /** The script has to be sent whole. */
  whole: boolean;
  /** Where the slot's keys may be already, for the next try. */
  asks: string | undefined;
}

interface Lane {
  /** Calls that wait; null: none has to. */
  held: Call[] | null;
  inFlight: number;
  /** What has to be done before they go on. */
  remedy: "nothing" | "pause";
  /** To be sent again, ahead of those held. */
  again: Call[];
}

export class Calls {
  readonly #lanes = new Map<number, Lane>();

  constructor(
    private readonly route: Route,
    private readonly clock: Clock,
  ) {}

  run(script: Script, keys: readonly string[], args: readonly string[], durable: boolean): Promise<unknown> {
    return this.#enter(script, keys[0] ?? "", [String(keys.length), ...keys, ...args], durable);
  }

  call(key: string, command: readonly string[]): Promise<unknown> {
    return this.#enter(undefined, key, command, false);
  }

  #enter(script: Script | undefined, key: string, rest: readonly string[], durable: boolean): Promise<unknown> {
    const slot = this.route.slotOf(key);
    let lane = this.#lanes.get(slot);
    if (lane === undefined) {
      lane = { held: null, inFlight: 0, remedy: "nothing", again: [] };
      this.#lanes.set(slot, lane);
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const call: Call = { rest, script, key, durable, resolve, reject, tries: 0, whole: false, asks: undefined };
    if (lane.held === null) this.#send(slot, lane, call);
    else lane.held.push(call);
    return promise;
  }

  #send(slot: number, lane: Lane, call: Call): void {
    const { asks, script, rest } = call;
    const send = asks === undefined ? this.route.senderOf(slot) : this.route.asked(asks);
    if (send === undefined) {
      call.reject(notSent(this.route.fault ?? "Redis is away"));
      this.#leave(slot, lane);
      return;
    }
    call.tries++;
    call.asks = undefined;
    lane.inFlight++;
    let command = rest;
    if (script !== undefined)
      command = call.whole ? ["EVAL", script.source, ...rest] : ["EVALSHA", script.sha, ...rest];
    send(command, call.durable).then(
      (answer) => {
        lane.inFlight--;
        call.resolve(answer);
        this.#leave(slot, lane);
      },
      (error: unknown) => {
        lane.inFlight--;
        if (!(error instanceof RedisRefusal && this.#sendAgain(slot, lane, call, error)))
          call.reject(this.#failure(call, error));
        this.#leave(slot, lane);
      },
    );
  }

  #failure(call: Call, error: unknown): unknown {
    const state = error instanceof RedisRefusal ? stateOf(error) : undefined;
    if (!(error instanceof RedisRefusal) || state === undefined) return error;
    this.route.refused(state, call.key, error);
    return notSent(`Redis ${state}`);
  }

  /** Whether the refusal means that the call is to be sent again; if that was done often enough, it is told so. */
  #sendAgain(slot: number, lane: Lane, call: Call, { word, message }: RedisRefusal): boolean {
    if (word === "NOSCRIPT") call.whole = true;
    else if (word === "ASK") call.asks = message.split(" ")[2];
    else if (word === "MOVED") {
      // The other one may have to be connected to first.
      lane.remedy = "pause";
      this.route.redirected(slot, message.split(" ")[2] ?? "");
    } else if (word === "TRYAGAIN") lane.remedy = "pause";
    else return false;
    if (call.tries >= TRIES_MAX) {
      call.reject(notSent(`its keys are on their way to another server (${word})`));
      return true;
    }
    lane.held ??= [];
    lane.again.push(call);
    return true;
  }

  /** A call of the lane has come back. */
  #leave(slot: number, lane: Lane): void {
    if (lane.inFlight > 0) return;
    if (lane.held === null) {
      if (this.#lanes.get(slot) === lane) this.#lanes.delete(slot);
      return;
    }
    const { remedy } = lane;
    lane.remedy = "nothing";
    const goOn = (): void => this.#goOn(slot, lane);
    if (remedy === "nothing") goOn();
    else this.clock.after(PAUSE_MS, goOn);
  }

  #goOn(slot: number, lane: Lane): void {
    const calls = [...lane.again, ...(lane.held ?? [])];
    lane.again = [];
    lane.held = null;
    // The whole first: whoever is sent behind it finds the script there.
    lane.inFlight++;
    for (const call of calls) this.#send(slot, lane, call);
    lane.inFlight--;
    this.#leave(slot, lane);
  }
}
