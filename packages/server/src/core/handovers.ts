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
  readonly dueAt: number;
  /** The process that was asked for it, and had not got it, or did not answer. */
  readonly doubted: string | undefined;
}

export class Handovers {
  /** By id; the oldest first. */
  readonly #gone = new Map<string, Gone>();
  /** By id as well: should another connection take the session up meanwhile, what comes is meant for that one. */
  readonly #arriving = new Map<string, Promise<unknown>>();
  /** By id, since another connection may take its place; the one due first is first. */
  readonly #unconfirmed = new Map<string, Unconfirmed>();
  /** Until when a process is taken for silent. */
  readonly #silences = new Map<string, number>();
  readonly #probed = new Set<string>();
  #looking: Timer | undefined;
  #forgetting: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly find: (id: string) => Session | undefined,
    private readonly confirm: (session: Session, doubted: string | undefined) => void,
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

  /** It is here again, or not there any more: where `to` is given, only if it was that one. */
  forget(id: string, to = this.movedTo(id)): void {
    if (to !== undefined && this.movedTo(id) === to) this.#gone.delete(id);
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
  confirmLater(id: string, doubted: string | undefined): void {
    const { dueAt, doubted: before } = this.#unconfirmed.get(id) ?? { dueAt: this.clock.uptime() + CONFIRM_MS };
    this.#unconfirmed.set(id, { dueAt, doubted: doubted ?? before });
    this.#looking ??= this.clock.after(CONFIRM_MS, () => this.#look());
  }

  /** It was taken up a moment ago, and perhaps elsewhere too. */
  isUnconfirmed(id: string): boolean {
    return this.#unconfirmed.has(id);
  }

  #look(): void {
    const now = this.clock.uptime();
    const due: [Session, string | undefined][] = [];
    let nextAt = Infinity;
    for (const [id, { dueAt, doubted }] of this.#unconfirmed) {
      nextAt = dueAt;
      if (dueAt > now || due.length === CONFIRMED_PER_TICK) break;
      nextAt = Infinity;
      this.#unconfirmed.delete(id);
      // Most polls are over by now; there may be more of them than could be looked at.
      const session = this.find(id);
      if (session !== undefined) due.push([session, doubted]);
    }
    this.#looking =
      nextAt === Infinity ? undefined : this.clock.after(Math.max(CONFIRM_TICK_MS, nextAt - now), () => this.#look());
    for (const [session, doubted] of due) this.confirm(session, doubted);
  }

  stop(): void {
    this.#looking?.cancel();
    this.#forgetting?.cancel();
    this.#unconfirmed.clear();
  }
}
