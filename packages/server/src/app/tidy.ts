/**
 * Tidy: collects garbage once after a rush. When thousands of clients connect (or leave) at once, what their handshakes used
 * lies scattered between what they keep, and the runtime, whose heap has just grown, sees no reason to collect: a quarter of the
 * resident memory stays taken for good (measured at 15,000 clients: 4.6 against 3.9 KB each). The collection stops the loop
 * for about 1.5 microseconds a client (22 ms for these), so it waits until the rush is over.
 */
import type { Clock, Timer } from "../base/clock.ts";

const LOOK_MS = 1000;
/** So many sessions opened and closed make a rush; so few in a second are its end. */
const RUSH_MIN = 2000;
const CALM_MAX = 100;

/** `changes`: sessions opened and closed since the start, counted up. */
export function tidyAfterRush(clock: Clock, changes: () => number, collect: () => void): Timer {
  let last = changes();
  let collected = last;
  return clock.every(LOOK_MS, () => {
    const now = changes();
    const isCalm = now - last <= CALM_MAX;
    last = now;
    if (!isCalm || now - collected < RUSH_MIN) return;
    collected = now;
    collect();
  });
}
