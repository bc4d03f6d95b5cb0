/** How long to wait before an attempt. */

export interface Backoff {
  /** Before the first attempt after a loss; 1,000 unless told. */
  readonly minMs: number;
  /** Never longer than this; 30,000 unless told. */
  readonly maxMs: number;
  /** Each wait is so many times the one before; 2 unless told. */
  readonly factor: number;
}

/**
 * `full`: a random time between 0 and the backoff, so that the clients of a restarted server do not come back all at
 * once. `none`: exactly the backoff.
 */
export type Jitter = "full" | "none";

/** Beyond it every sensible backoff is at its maximum, and none is infinite: 0 times infinity is no time. */
const EXPONENT_MAX = 60;

export interface BackoffSettings {
  readonly backoff: Backoff;
  readonly jitter: Jitter;
  readonly random: () => number;
}

/** The wait before attempt number `attempt`, which starts at 1. */
export function backoffMs({ backoff, jitter, random }: BackoffSettings, attempt: number): number {
  const ms = Math.min(backoff.maxMs, backoff.minMs * backoff.factor ** Math.min(attempt - 1, EXPONENT_MAX));
  return jitter === "full" ? Math.round(ms * random()) : ms;
}
