import type { Clock } from "../base/clock.ts";

/** Signals closer together than this are one: Ctrl-C reaches a server behind `npm start` by the terminal, by npm and by the launcher. */
export const SAME_SIGNAL_MS = 500;

export interface SignalHandler {
  /** Resolves at the first signal. */
  readonly first: Promise<void>;
  receive(): void;
}

export interface FurtherSignals {
  /** Somebody does not want to wait. */
  readonly again: () => void;
  /** Nor for that. */
  readonly last: () => void;
}

/** The first signal asks to stop in order, the next one to hurry, and one more is the end. */
export function createSignalHandler(clock: Pick<Clock, "uptime">, { again, last }: FurtherSignals): SignalHandler {
  const { promise, resolve } = Promise.withResolvers<void>();
  const steps = [resolve, again, last];
  let since = -Infinity;
  return {
    first: promise,
    receive() {
      if (clock.uptime() - since <= SAME_SIGNAL_MS) return;
      since = clock.uptime();
      steps.shift()?.();
    },
  };
}
