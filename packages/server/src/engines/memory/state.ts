/** StateStore in memory. */
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import { DEVICES_MAX, type StateStore } from "../../ports/state.ts";
import { deviceUserOf, furthest, sumOf } from "../state-rules.ts";

/** Keys looked at in one step of the sweep. */
const SWEEP_STEP = 5_000;

/** Positions by holder; those of one user's devices stand together, the one moved longest ago first. */
interface Positions {
  readonly users: Map<string, Position>;
  readonly devices: Map<string, Map<string, Position>>;
}

interface Value {
  readonly text: string;
  /** Unix milliseconds; Infinity: never. */
  readonly expiresAt: number;
}

export class MemoryState implements StateStore {
  readonly #values = new Map<string, Value>();
  /** By channel, so that a forgotten channel takes its positions along. */
  readonly #positions = new Map<string, Positions>();
  #rest: Iterator<[string, Value]> | undefined;

  constructor(readonly clock: Clock) {}

  #live(key: string): Value | undefined {
    const value = this.#values.get(key);
    return value === undefined || value.expiresAt <= this.clock.now() ? undefined : value;
  }

  #expiry(ttlMs: number | undefined): number {
    return ttlMs === undefined ? Infinity : this.clock.now() + ttlMs;
  }

  get(key: string): Promise<string | undefined> {
    return Promise.resolve(this.#live(key)?.text);
  }

  set(key: string, value: string, ttlMs: number | undefined): Promise<void> {
    this.#values.set(key, { text: value, expiresAt: this.#expiry(ttlMs) });
    return Promise.resolve();
  }

  async add(key: string, amount: number, ttlMs: number | undefined): Promise<number> {
    const value = this.#live(key);
    const sum = sumOf(value?.text, amount);
    const expiresAt = ttlMs === undefined && value !== undefined ? value.expiresAt : this.#expiry(ttlMs);
    this.#values.set(key, { text: JSON.stringify(sum), expiresAt });
    return sum;
  }

  touch(key: string, ttlMs: number): Promise<boolean> {
    const value = this.#live(key);
    if (value !== undefined) this.#values.set(key, { text: value.text, expiresAt: this.#expiry(ttlMs) });
    return Promise.resolve(value !== undefined);
  }

  remove(key: string): Promise<boolean> {
    const known = this.#live(key) !== undefined;
    this.#values.delete(key);
    return Promise.resolve(known);
  }

  position(channel: string, holder: string): Promise<Position | undefined> {
    const positions = this.#positions.get(channel);
    const user = deviceUserOf(holder);
    const holders = user === undefined ? positions?.users : positions?.devices.get(user);
    return Promise.resolve(holders?.get(holder));
  }

  acknowledge(channel: string, holder: string, position: Position): Promise<Position> {
    const user = deviceUserOf(holder);
    const holders = this.#holders(channel, user);
    const held = furthest(holders.get(holder), position);
    if (held === position) {
      // Behind all others: the order of the map is the order in which they were moved.
      holders.delete(holder);
      holders.set(holder, held);
      const [oldest] = user !== undefined && holders.size > DEVICES_MAX ? holders.keys() : [];
      if (oldest !== undefined) holders.delete(oldest);
    }
    return Promise.resolve(held);
  }

  #holders(channel: string, user: string | undefined): Map<string, Position> {
    let positions = this.#positions.get(channel);
    if (positions === undefined) {
      positions = { users: new Map(), devices: new Map() };
      this.#positions.set(channel, positions);
    }
    if (user === undefined) return positions.users;
    let devices = positions.devices.get(user);
    if (devices === undefined) {
      devices = new Map();
      positions.devices.set(user, devices);
    }
    return devices;
  }

  /** The positions belonged to a numbering that is gone. */
  forgetChannel(channel: string): void {
    this.#positions.delete(channel);
  }

  /** A step of an endless walk that frees what has expired. */
  sweep(): void {
    const now = this.clock.now();
    this.#rest ??= this.#values.entries();
    for (let count = Math.min(SWEEP_STEP, this.#values.size); count > 0; count--) {
      const next = this.#rest.next();
      if (next.done === true) {
        this.#rest = undefined;
        return;
      }
      const [key, value] = next.value;
      if (value.expiresAt <= now) this.#values.delete(key);
    }
  }
}
