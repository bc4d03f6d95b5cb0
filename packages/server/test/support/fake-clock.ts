/**
 * A clock that stands still until the test moves it.
 *
 *     const clock = new FakeClock();          // 2026-01-01, any fixed time will do; or new FakeClock(0)
 *     const engine = openMemoryEngine(settings, sink, clock);
 *     clock.advance(5_000);                   // runs every timer that falls due, in the order of their times
 *     clock.now();                            // inside a timer: exactly the time it was due
 *     clock.jump(-3_600_000);                 // the machine's clock is set; no time passes
 *     clock.timers;                           // how many are waiting: 0 after a clean close
 *
 * Timers run synchronously inside `advance`. What they start asynchronously (promises) is the test's to await.
 */
import type { Clock, Timer } from "../../src/base/clock.ts";

interface Waiting {
  due: number;
  readonly everyMs: number | undefined;
  readonly run: () => void;
}

export class FakeClock implements Clock {
  /** Time that has passed; what the machine's clock says differs by `#set`. */
  #now: number;
  #set = 0;
  // Timers that are due at the same time run in the order in which they were set: sets keep it.
  readonly #waiting = new Set<Waiting>();

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now;
  }

  now(): number {
    return this.#now + this.#set;
  }

  uptime(): number {
    return this.#now;
  }

  jump(ms: number): void {
    this.#set += ms;
  }

  get timers(): number {
    return this.#waiting.size;
  }

  after(ms: number, run: () => void): Timer {
    return this.#wait({ due: this.#now + Math.max(0, ms), everyMs: undefined, run });
  }

  every(ms: number, run: () => void): Timer {
    // An interval of 0 would never let `advance` come to its end.
    const everyMs = Math.max(1, ms);
    return this.#wait({ due: this.#now + everyMs, everyMs, run });
  }

  #wait(waiting: Waiting): Timer {
    this.#waiting.add(waiting);
    return { cancel: () => this.#waiting.delete(waiting) };
  }

  /** Moves time forwards and runs what falls due on the way, also what is set meanwhile. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let next = this.#earliest(end); next !== undefined; next = this.#earliest(end)) {
      this.#now = Math.max(this.#now, next.due);
      if (next.everyMs === undefined) this.#waiting.delete(next);
      else next.due += next.everyMs;
      next.run();
    }
    this.#now = end;
  }

  #earliest(end: number): Waiting | undefined {
    let earliest: Waiting | undefined;
    for (const waiting of this.#waiting) {
      if (waiting.due <= end && (earliest === undefined || waiting.due < earliest.due)) earliest = waiting;
    }
    return earliest;
  }
}
