/** How long a place stays empty before its next worker is started (SPEC.md, WK-3). */

/** One that lived so long was a good one: what ended it need not end the next. */
const GOOD_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const PAUSE_MAX_MS = 10_000;

export interface Pause {
  readonly ms: number;
  /** Too long to let anybody wait for it. */
  readonly isLong: boolean;
}

export class Pauses {
  /** How many in a row have died young. */
  #young = 0;

  /** A worker has died. */
  next(livedMs: number): Pause {
    this.#young = livedMs < GOOD_MS ? this.#young + 1 : 0;
    if (this.#young <= 1) return { ms: 0, isLong: false };
    const pauses = this.#young - 1;
    return { ms: Math.min(PAUSE_MAX_MS, FIRST_PAUSE_MS * 2 ** (pauses - 1)), isLong: pauses > 1 };
  }
}
