/**
 * A clock moved by hand. `await clock.advance(ms)` runs what is due in order of time, and lets promises settle before and
 * after each timer. `clock.jump(ms)` moves the time alone, as a machine does that slept: what was due runs late, at the
 * next `advance`.
 */
import type { Clock, Timer } from "../../src/platform.ts";

interface Pending {
  readonly at: number;
  readonly run: () => void;
}

/** Lets everything that waits for promises alone come to rest. */
export function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

export class FakeClock implements Clock {
  #now = 1_700_000_000_000;
  readonly #pending = new Set<Pending>();

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): Timer {
    const pending: Pending = { at: this.#now + ms, run };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.#now + ms;
    for (;;) {
      let next: Pending | undefined;
      for (const pending of this.#pending) if (pending.at <= end && pending.at < (next?.at ?? Infinity)) next = pending;
      if (next === undefined) break;
      this.#pending.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settle();
    }
    this.#now = end;
  }

  jump(ms: number): void {
    this.#now += ms;
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#pending.size;
  }
}
