/**
 * The machine's clock, as a process sees it that can be stopped:
 *
 *     const clock = new StoppableClock();
 *     clock.stop();      // nothing that was to be done in time is done
 *     clock.go();        // it is done now
 */
import { type Clock, systemClock, type Timer } from "../../src/base/clock.ts";

export class StoppableClock implements Clock {
  #held: (() => void)[] | undefined;

  now(): number {
    return systemClock.now();
  }

  uptime(): number {
    return systemClock.uptime();
  }

  after(ms: number, run: () => void): Timer {
    return this.#wait(run, (due) => systemClock.after(ms, due));
  }

  every(ms: number, run: () => void): Timer {
    return this.#wait(run, (due) => systemClock.every(ms, due));
  }

  #wait(run: () => void, set: (due: () => void) => Timer): Timer {
    let isCancelled = false;
    const due = (): void => {
      if (!isCancelled) run();
    };
    const timer = set(() => {
      // What came round several times meanwhile is done once.
      if (this.#held === undefined) due();
      else if (!this.#held.includes(due)) this.#held.push(due);
    });
    return {
      cancel() {
        isCancelled = true;
        timer.cancel();
      },
    };
  }

  stop(): void {
    this.#held ??= [];
  }

  go(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const due of held) due();
  }
}
