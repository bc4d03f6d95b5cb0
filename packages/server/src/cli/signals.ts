import type { Clock } from "../base/clock.ts";

/** Signals closer together than this are one: Ctrl-C reaches a server behind `npm start` by the terminal, by npm and by the launcher. */
export const SAME_SIGNAL_MS = 500;

export interface SignalHandler {
  /** Resolves at the first signal. */
  readonly first: Promise<void>;
  receive(): void;
}

/** The first signal asks to stop in order; one more, `again`, is somebody who does not want to wait. */
export function createSignalHandler(clock: Pick<Clock, "now">, again: () => void): SignalHandler {
  const { promise, resolve } = Promise.withResolvers<void>();
  let since: number | undefined;
  return {
    first: promise,
    receive() {
      if (since === undefined) {
        since = clock.now();
        resolve();
      } else if (clock.now() - since > SAME_SIGNAL_MS) again();
    },
  };
}
