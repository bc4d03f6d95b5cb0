/**
 * A station does one thing after the other: a core, Redis, a network link. What comes while it is busy waits. How busy it was is kept second by
 * second.
 */
import type { Agenda } from "./agenda.ts";

const SECOND_MS = 1000;
/** A second that is this full counts as saturated. */
const SATURATED_SHARE = 0.95;

export interface StationOptions {
  /** What it costs to begin again after a rest: waking up, reading, answering. Work that follows on work does not pay it. */
  readonly wakeUs?: number;
  /** Share of its time that goes to what is not simulated. */
  readonly background?: number;
}

export class Station {
  readonly #agenda: Agenda;
  readonly #wakeUs: number;
  readonly #background: number;
  /** By second: how much of it was spent on simulated work, in milliseconds of its own time. */
  readonly #busyMs: number[] = [];
  #freeAtMs = 0;

  constructor(
    readonly name: string,
    agenda: Agenda,
    { wakeUs = 0, background = 0 }: StationOptions = {},
  ) {
    this.#agenda = agenda;
    this.#wakeUs = wakeUs;
    this.#background = background;
  }

  /** How long what comes now waits before its turn. */
  get backlogMs(): number {
    return Math.max(0, this.#freeAtMs - this.#agenda.nowMs);
  }

  /** Work of so many microseconds; `done` is called when it is done. Returns when that is. */
  serve(us: number, done?: () => void): number {
    const begin = Math.max(this.#freeAtMs, this.#agenda.nowMs);
    const woken = begin > this.#freeAtMs || this.#freeAtMs === 0 ? this.#wakeUs : 0;
    // What is not simulated takes its share of each moment, so ours takes longer.
    const end = begin + (us + woken) / 1000 / (1 - this.#background);
    this.#book(begin, end);
    this.#freeAtMs = end;
    if (done !== undefined) this.#agenda.at(end, done);
    return end;
  }

  /** The fullest second, from 0 to 1. */
  get peakShare(): number {
    return this.#busyMs.reduce((most, _, second) => Math.max(most, this.shareOf(second)), this.#background);
  }

  get saturatedSeconds(): number {
    return this.#busyMs.filter((_, second) => this.shareOf(second) >= SATURATED_SHARE).length;
  }

  /** How full a second was, the background included. */
  shareOf(second: number): number {
    const own = (this.#busyMs[second] ?? 0) / SECOND_MS;
    return this.#background + (1 - this.#background) * Math.min(1, own);
  }

  #book(begin: number, end: number): void {
    for (let at = begin; at < end;) {
      const second = Math.floor(at / SECOND_MS);
      const until = Math.min(end, (second + 1) * SECOND_MS);
      while (this.#busyMs.length <= second) this.#busyMs.push(0);
      this.#busyMs[second] = (this.#busyMs[second] ?? 0) + until - at;
      at = until;
    }
  }
}

/** Which of them was full for the longest time, or fullest. */
export function busiestOf(stations: readonly Station[]): Station | undefined {
  return [...stations].toSorted((a, b) => b.saturatedSeconds - a.saturatedSeconds || b.peakShare - a.peakShare)[0];
}
