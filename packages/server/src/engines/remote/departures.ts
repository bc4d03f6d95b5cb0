/**
 * What becomes of those who were present by a worker that is gone. Its clients come back to others in a moment, so nobody is announced as gone before the delay of
 * its channel is over; whoever has been put by another worker by then has never left.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import type { Turn } from "../../base/turn.ts";
import type { LocalPresence } from "../local-presence.ts";

/** Entries dropped in one turn: some milliseconds of work. */
const DROPS_PER_TURN = 1_000;

interface Departure {
  readonly channel: string;
  readonly session: string;
}

export class Departures {
  readonly #timers = new Set<Timer>();

  constructor(
    private readonly presence: LocalPresence,
    private readonly clock: Clock,
    private readonly turn: Turn,
    private readonly leaveDelayOf: (channel: string) => number,
  ) {}

  depart(owner: string): void {
    for (const [delayMs, departures] of this.#byDelay(owner)) {
      const timer = this.clock.after(delayMs, () => {
        this.#timers.delete(timer);
        void this.#drop(owner, departures);
      });
      this.#timers.add(timer);
    }
  }

  #byDelay(owner: string): Map<number, Departure[]> {
    const delays = new Map<number, Departure[]>();
    for (const departure of this.presence.entriesOf(owner)) {
      const delayMs = this.leaveDelayOf(departure.channel);
      const departures = delays.get(delayMs);
      if (departures === undefined) delays.set(delayMs, [departure]);
      else departures.push(departure);
    }
    return delays;
  }

  async #drop(owner: string, departures: readonly Departure[]): Promise<void> {
    for (const [at, { channel, session }] of departures.entries()) {
      if (at > 0 && at % DROPS_PER_TURN === 0) await this.turn.end();
      await this.presence.drop(channel, session, owner);
    }
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}
