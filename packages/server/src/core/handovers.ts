/**
 * Handovers: sessions on their way from one process to another, as this one remembers them for a few seconds. Memory only; what is asked and answered
 * stands in `moving.ts`.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Session } from "./model.ts";
import { isUnavailable } from "./peers.ts";

/** How long it is remembered what has become of a session that was here. */
const MEMORY_MS = 10_000;

/** When a session that was taken up is looked at again. */
const CONFIRM_MS = 5000;

/** After a node has died, a hundred thousand come at once: they are looked at a few at a time. */
const CONFIRM_TICK_MS = 100;
const CONFIRMED_PER_TICK = 200;

/** So long after it did not answer a process is not waited for again. */
const SILENCE_MS = 5000;

/** A session that is not here any more. */
interface Gone {
  readonly until: number;
  /** The process that has it now; undefined: it was sent away for good. */
  readonly to: string | undefined;
}

interface Unconfirmed {
  readonly session: Session;
  readonly dueAt: number;
  /** The process that had it and did not answer. */
  readonly silent: string | undefined;
}

export class Handovers {
  /** By id; the oldest first. */
  readonly #gone = new Map<string, Gone>();
  /** By id as well: should another connection take the session up meanwhile, what comes is meant for that one. */
  readonly #arriving = new Map<string, Promise<unknown>>();
  /** The one due first is first. */
  #unconfirmed: Unconfirmed[] = [];
  /** Until when a process is taken for silent. */
  readonly #silences = new Map<string, number>();
  readonly #probed = new Set<string>();
  #looking: Timer | undefined;
  #forgetting: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly confirm: (session: Session, silent: string | undefined) => void,
  ) {}

  /**
   * Resolves to what the process answers; undefined: it is silent. When one has died, all its clients come before it counts as dead, and not each of them shall
   * wait in vain: once it has not answered, one question at a time finds out whether it does again, and nobody waits for that.
   */
  async hear<T>(peer: string, ask: () => Promise<T>): Promise<T | undefined> {
    if (!this.isSilent(peer)) return await this.#listen(peer, ask);
    if (!this.#probed.has(peer)) {
      this.#probed.add(peer);
      void this.#listen(peer, ask)
        .catch(() => undefined)
        .finally(() => this.#probed.delete(peer));
    }
    return undefined;
  }

  /** Whether it did not answer lately. */
  isSilent(peer: string): boolean {
    return (this.#silences.get(peer) ?? 0) > this.clock.uptime();
  }

  async #listen<T>(peer: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask();
      this.#silences.delete(peer);
      return answer;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      const now = this.clock.uptime();
      for (const [other, until] of this.#silences) if (until <= now) this.#silences.delete(other);
      this.#silences.set(peer, now + SILENCE_MS);
      return undefined;
    }
  }

  /** Another process has taken the session. */
  moved(id: string, to: string): void {
    this.#remember(id, to);
  }

  /** The session was sent away for good. Any other process may have asked about it before, and come for it now. */
  over(id: string): void {
    this.#remember(id, undefined);
  }

  /** Which process has taken the session lately. */
  movedTo(id: string): string | undefined {
    return this.#gone.get(id)?.to;
  }

  /** Whether the session must not go on anywhere. */
  isOver(id: string): boolean {
    const gone = this.#gone.get(id);
    return gone !== undefined && gone.to === undefined;
  }

  #remember(id: string, to: string | undefined): void {
    this.#gone.delete(id);
    this.#gone.set(id, { until: this.clock.uptime() + MEMORY_MS, to });
    this.#forgetting ??= this.clock.after(MEMORY_MS, () => this.#forget());
  }

  #forget(): void {
    const now = this.clock.uptime();
    for (const [id, { until }] of this.#gone) {
      if (until > now) break;
      this.#gone.delete(id);
    }
    const more = this.#gone.size > 0;
    this.#forgetting = more ? this.clock.after(MEMORY_MS, () => this.#forget()) : undefined;
  }

  /** The session is listed here, and the process that had it is being asked for it. */
  arrives(id: string, arrival: Promise<unknown>): void {
    this.#arriving.set(id, arrival);
    void arrival.finally(() => {
      if (this.#arriving.get(id) === arrival) this.#arriving.delete(id);
    });
  }

  /** Resolves when the session has all that comes with it. */
  async arrived(id: string): Promise<void> {
    await this.#arriving.get(id);
  }

  /** Likewise for several; undefined: all have it. */
  arrivals(sessions: readonly Session[]): Promise<unknown> | undefined {
    if (this.#arriving.size === 0) return undefined;
    const arrivals = sessions.flatMap(({ id }) => this.#arriving.get(id) ?? []);
    return arrivals.length === 0 ? undefined : Promise.all(arrivals);
  }

  /** Two processes may have found the same session in the store in the same moment, or one did not answer: it is looked at again. */
  confirmLater(session: Session, silent: string | undefined): void {
    this.#unconfirmed.push({ session, silent, dueAt: this.clock.uptime() + CONFIRM_MS });
    this.#looking ??= this.clock.after(CONFIRM_MS, () => this.#look());
  }

  #look(): void {
    const now = this.clock.uptime();
    const due: Unconfirmed[] = [];
    let taken = 0;
    for (const one of this.#unconfirmed) {
      if (one.dueAt > now || due.length === CONFIRMED_PER_TICK) break;
      taken++;
      // Most polls are over by now; there may be more of them than could be looked at.
      if (one.session.state === "open") due.push(one);
    }
    this.#unconfirmed.splice(0, taken);
    const [next] = this.#unconfirmed;
    this.#looking =
      next === undefined
        ? undefined
        : this.clock.after(Math.max(CONFIRM_TICK_MS, next.dueAt - now), () => this.#look());
    for (const { session, silent } of due) this.confirm(session, silent);
  }

  stop(): void {
    this.#looking?.cancel();
    this.#forgetting?.cancel();
    this.#unconfirmed = [];
  }
}
