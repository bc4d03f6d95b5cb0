/**
 * How late the event loop is. A timer tells, which runs only for a while after somebody has asked: who is asked for are new
 * connections, and a server that gets none has nothing to measure.
 */
import type { Clock, Timer } from "./clock.ts";

const TICK_MS = 100;

/** So many ticks after the last question the timer ends. */
const TICKS_MAX = 100;

export class LoopLag {
  #timer: Timer | null = null;
  #dueAt = 0;
  #lagMs = 0;
  #ticksLeft = 0;

  constructor(private readonly clock: Clock) {}

  /**
   * A moving average of the last ticks, so that a single pause (a garbage collection, a large fan-out) does not count for what it is not; what
   * is late at this very moment is in it.
   */
  ms(): number {
    this.#ticksLeft = TICKS_MAX;
    const now = this.clock.uptime();
    if (this.#timer === null) {
      this.#dueAt = now + TICK_MS;
      this.#lagMs = 0;
      this.#timer = this.clock.every(TICK_MS, () => this.#tick());
    }
    return Math.max(this.#lagMs, averaged(this.#lagMs, now - this.#dueAt));
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #tick(): void {
    const now = this.clock.uptime();
    this.#lagMs = averaged(this.#lagMs, Math.max(0, now - this.#dueAt));
    this.#dueAt = now + TICK_MS;
    if (--this.#ticksLeft <= 0) this.stop();
  }
}

/** A new measurement counts for a quarter. */
function averaged(average: number, latest: number): number {
  return average + (latest - average) / 4;
}
