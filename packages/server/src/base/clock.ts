/** Time, injected: tests move it by hand. The only place that calls `Date.now` or sets timers. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Unix milliseconds. The machine's clock may be set: what is measured with it may last for ever, or be over at once. */
  now(): number;
  /** Milliseconds since some moment; only ever passes. For silence and delays. */
  uptime(): number;
  after(ms: number, run: () => void): Timer;
  every(ms: number, run: () => void): Timer;
}

/** The machine's own clock. `every` does not keep the process alive; `after` does, since somebody waits for it. */
export const systemClock: Clock = {
  now: () => Date.now(),
  uptime: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
  every(ms, run) {
    const timer = setInterval(run, ms);
    timer.unref();
    return { cancel: () => clearInterval(timer) };
  },
};
