/** What must be true of a StateStore on disk: plain maps, one call after the other. `engine.slow.ts` drives an engine beside it. */
import type { Position } from "@longwire/protocol";
import type { Random } from "@longwire/protocol/test/random";
import type { StateStore } from "../../src/ports/state.ts";
import type { Loss } from "./engine-model.ts";

export type StateCall =
  | { readonly kind: "get"; readonly key: string }
  | { readonly kind: "remove"; readonly key: string }
  | { readonly kind: "set"; readonly key: string; readonly value: string; readonly ttlMs: number | undefined }
  | { readonly kind: "add"; readonly key: string; readonly amount: number; readonly ttlMs: number | undefined }
  | { readonly kind: "position"; readonly channel: string; readonly holder: string }
  | { readonly kind: "acknowledge"; readonly channel: string; readonly holder: string; readonly position: Position };

type PositionCall = Extract<StateCall, { readonly channel: string }>;
type ValueCall = Exclude<StateCall, PositionCall>;

interface Value {
  readonly text: string;
  readonly until: number;
}

const KEYS = ["s1", "s2", "s3"];
const HOLDERS = ["bob", "eve"];

function until(ttlMs: number | undefined, now: number, otherwise = Infinity): number {
  return ttlMs === undefined ? otherwise : now + ttlMs;
}

function further(held: Position | undefined, next: Position): Position {
  return held?.epoch === next.epoch && held.offset > next.offset ? held : next;
}

export class StateModel {
  readonly #values = new Map<string, Value>();
  readonly #positions = new Map<string, Position>();
  /** Positions that may have gone with the numbering of their channel. */
  readonly #unsure = new Set<string>();

  constructor(readonly channels: readonly string[]) {}

  /** `held`: positions that were given out. */
  random(random: Random, held: readonly Position[]): StateCall {
    const key = random.pick(KEYS);
    const channel = random.pick(this.channels);
    const holder = random.pick(HOLDERS);
    const ttlMs = random.pick([undefined, 1_000, 40_000]);
    const kind = random.pick(["get", "set", "add", "remove", "position", "acknowledge"] as const);
    if (kind === "get") return { kind, key };
    if (kind === "remove") return { kind, key };
    if (kind === "set") return { kind, key, value: random.pick(["1", '"text"', "0.5"]), ttlMs };
    if (kind === "add") return { kind, key, amount: random.below(10), ttlMs };
    if (kind === "position" || held.length === 0) return { kind: "position", channel, holder };
    const { epoch, offset } = random.pick(held);
    return { kind, channel, holder, position: { epoch, offset: Math.max(0, offset - random.below(3)) } };
  }

  perform(call: StateCall, state: StateStore): Promise<unknown> {
    if (call.kind === "get") return state.get(call.key);
    if (call.kind === "remove") return state.remove(call.key);
    if (call.kind === "set") return state.set(call.key, call.value, call.ttlMs);
    if (call.kind === "add") return state.add(call.key, call.amount, call.ttlMs);
    if (call.kind === "position") return state.position(call.channel, call.holder);
    return state.acknowledge(call.channel, call.holder, call.position);
  }

  #value(key: string, now: number): Value | undefined {
    const value = this.#values.get(key);
    return value !== undefined && value.until > now ? value : undefined;
  }

  refuses(call: StateCall, now: number): boolean {
    return call.kind === "add" && typeof JSON.parse(this.#value(call.key, now)?.text ?? "0") !== "number";
  }

  answered(call: StateCall, answer: unknown, now: number): void {
    if (call.kind === "position" || call.kind === "acknowledge") {
      this.#moved(call, answer as Position | undefined);
      return;
    }
    const expected = this.#apply(call, now);
    if (answer !== expected)
      throw new Error(`${JSON.stringify(call)}: ${String(answer)} instead of ${String(expected)}`);
  }

  #apply(call: ValueCall, now: number): unknown {
    const { key } = call;
    const value = this.#value(key, now);
    if (call.kind === "get") return value?.text;
    if (call.kind === "remove") {
      this.#values.delete(key);
      return value !== undefined;
    }
    if (call.kind === "set") {
      this.#values.set(key, { text: call.value, until: until(call.ttlMs, now) });
      return undefined;
    }
    const sum = Number(value?.text ?? 0) + call.amount;
    this.#values.set(key, { text: `${sum}`, until: until(call.ttlMs, now, value?.until) });
    return sum;
  }

  #moved(call: PositionCall, answer: Position | undefined): void {
    const name = `${call.channel} ${call.holder}`;
    const held = this.#positions.get(name);
    const next = call.kind === "acknowledge" ? call.position : undefined;
    const allowed = [next === undefined ? held : further(held, next)];
    if (this.#unsure.has(name)) allowed.push(next);
    if (!allowed.some((one) => Bun.deepEquals(one, answer))) {
      throw new Error(`${JSON.stringify(call)}: ${JSON.stringify(answer)} instead of ${JSON.stringify(allowed)}`);
    }
    this.#unsure.delete(name);
    if (answer === undefined) this.#positions.delete(name);
    else this.#positions.set(name, answer);
  }

  /** The numbering of the channel may be forgotten from now on, and the positions in it. */
  forgotten(channel: string): void {
    for (const holder of HOLDERS) this.#unsure.add(`${channel} ${holder}`);
  }

  /** The engine has been opened again: looks what became of calls that had not been answered, and goes on from there. */
  async restarted(loss: Loss, pending: readonly StateCall[], state: StateStore, now: number): Promise<void> {
    for (const key of KEYS) {
      const calls = pending.filter((call) => "key" in call && call.key === key);
      const before = this.#value(key, now)?.text;
      const possible = new Set([before]);
      for (const call of calls) {
        if ("key" in call && !this.refuses(call, now)) this.#apply(call, now);
        possible.add(this.#value(key, now)?.text);
      }
      const text = await state.get(key);
      if (loss !== "end" && !possible.has(text)) {
        throw new Error(`${key} is ${String(text)} instead of ${[...possible].join(" or ")}`);
      }
      if (loss === "nothing" || (calls.length === 0 && loss === "pending")) continue;
      // Until when it lives is not told; what is set now is known.
      await this.#settle({ kind: "set", key, value: "7", ttlMs: undefined }, state, now);
    }
    await this.#restartedPositions(loss, pending, state);
  }

  async #restartedPositions(loss: Loss, pending: readonly StateCall[], state: StateStore): Promise<void> {
    for (const channel of this.channels) {
      for (const holder of HOLDERS) {
        const name = `${channel} ${holder}`;
        let held = this.#positions.get(name);
        const possible = [held, ...(this.#unsure.has(name) ? [undefined] : [])];
        for (const call of pending) {
          if (call.kind !== "acknowledge" || call.channel !== channel || call.holder !== holder) continue;
          held = further(held, call.position);
          possible.push(held, call.position);
        }
        const position = await state.position(channel, holder);
        if (loss !== "end" && !possible.some((one) => Bun.deepEquals(one, position))) {
          throw new Error(`${name} stands at ${JSON.stringify(position)} instead of ${JSON.stringify(possible)}`);
        }
        if (position === undefined) this.#positions.delete(name);
        else this.#positions.set(name, position);
      }
    }
  }

  async #settle(call: StateCall, state: StateStore, now: number): Promise<void> {
    this.answered(call, await this.perform(call, state), now);
  }
}
