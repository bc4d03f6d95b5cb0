/**
 * Notices a dead connection: the server is never silent for longer than its ping interval, so twice that without a
 * word means that nobody is there.
 *
 * Timers of hidden tabs and sleeping machines fire late, and then before the frames that arrived meanwhile are read. A
 * check that comes late therefore asks first.
 */
import type { Clock, Timer } from "./platform.ts";

/** How long the answer to a question may take before the connection counts as dead. */
const PROBE_MS = 3000;

export class Liveness {
  readonly #clock: Clock;
  readonly #ping: () => void;
  readonly #dead: () => void;
  #heardAt = 0;
  #watch: Timer | undefined;
  #probe: Timer | undefined;

  constructor(clock: Clock, ping: () => void, dead: () => void) {
    this.#clock = clock;
    this.#ping = ping;
    this.#dead = dead;
  }

  /** 0: the server does not ping, so silence says nothing. */
  start(intervalMs: number): void {
    this.stop();
    if (intervalMs > 0) this.#schedule(intervalMs);
  }

  stop(): void {
    this.#watch?.cancel();
    this.heard();
  }

  heard(): void {
    this.#heardAt = this.#clock.now();
    this.#probe?.cancel();
    this.#probe = undefined;
  }

  /** Asks at once: nothing heard soon means dead. Not for a connection that does not stand. */
  check(): void {
    if (this.#probe) return;
    this.#ping();
    this.#probe = this.#clock.after(PROBE_MS, () => this.#dead());
  }

  #schedule(intervalMs: number): void {
    const dueAt = this.#heardAt + 2 * intervalMs;
    this.#watch = this.#clock.after(dueAt - this.#clock.now(), () => {
      const now = this.#clock.now();
      if (now >= this.#heardAt + 2 * intervalMs) {
        if (now - dueAt < intervalMs) {
          this.#dead();
          return;
        }
        this.check();
        this.#heardAt = now;
      }
      this.#schedule(intervalMs);
    });
  }
}
