/**
 * Handovers: sessions on their way from one process to another, as this one remembers them for a few seconds. Memory only; what is asked and answered
 * stands in `moving.ts`.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Session } from "./model.ts";
import { isUnavailable } from "./peers.ts";

/** How long it is remembered who was asked about, and who took it. */
const MEMORY_MS = 10_000;

/** When a session that was taken up is looked at again. */
const CONFIRM_MS = 5000;

/** After a node has died, a hundred thousand come at once: they are looked at a few at a time. */
const CONFIRM_TICK_MS = 100;
const CONFIRMED_PER_TICK = 200;

/** So long after it did not answer a process is not waited for again. */
const SILENCE_MS = 5000;

/** A session that another process has asked about: it will come for it. */
interface Offer {
  readonly until: number;
  /** The process that has it now. */
  movedTo: string | undefined;
  /** It was sent away meanwhile. */
  isOver: boolean;
}

interface Unconfirmed {
  readonly session: Session;
  readonly dueAt: number;
  /** The process that had it and did not answer. */
  readonly silent: string | undefined;
}

export class Handovers {
  /** By id; the oldest first. */
  readonly #offers = new Map<string, Offer>();
  readonly #arriving = new Map<Session, Promise<unknown>>();
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

  /** Another process has been told what the session has. */
  offer(id: string): void {
    this.#remember(id, { until: this.clock.uptime() + MEMORY_MS, movedTo: undefined, isOver: false });
  }

  moved(id: string, movedTo: string): void {
    this.#remember(id, { until: this.clock.uptime() + MEMORY_MS, movedTo, isOver: false });
  }

  /** The session was sent away for good. */
  over(id: string): void {
    const offer = this.#offers.get(id);
    if (offer !== undefined) offer.isOver = true;
  }

  /** Which process has taken the session lately. */
  movedTo(id: string): string | undefined {
    return this.#offers.get(id)?.movedTo;
  }

  /** Whether the session that was offered must not go on anywhere. */
  isOver(id: string): boolean {
    return this.#offers.get(id)?.isOver === true;
  }

  #remember(id: string, offer: Offer): void {
    this.#offers.delete(id);
    this.#offers.set(id, offer);
    this.#forgetting ??= this.clock.after(MEMORY_MS, () => this.#forget());
  }

  #forget(): void {
    const now = this.clock.uptime();
    for (const [id, { until }] of this.#offers) {
      if (until > now) break;
      this.#offers.delete(id);
    }
    const more = this.#offers.size > 0;
    this.#forgetting = more ? this.clock.after(MEMORY_MS, () => this.#forget()) : undefined;
  }

  /** The session is listed here, and the process that had it is being asked for it. */
  arrives(session: Session, arrival: Promise<unknown>): void {
    this.#arriving.set(session, arrival);
    void arrival.finally(() => this.#arriving.delete(session));
  }

  /** Resolves when the session has all that comes with it. */
  async arrived(session: Session | undefined): Promise<void> {
    if (session !== undefined) await this.#arriving.get(session);
  }

  /** Two processes may have found the same session in the store in the same moment, or one did not answer: it is looked at again. */
  confirmLater(session: Session, silent: string | undefined): void {
    this.#unconfirmed.push({ session, silent, dueAt: this.clock.uptime() + CONFIRM_MS });
    this.#looking ??= this.clock.after(CONFIRM_MS, () => this.#look());
  }

  #look(): void {
    const now = this.clock.uptime();
    const first = this.#unconfirmed.slice(0, CONFIRMED_PER_TICK);
    const due = first.filter(({ dueAt }) => dueAt <= now);
    this.#unconfirmed.splice(0, due.length);
    const [next] = this.#unconfirmed;
    this.#looking =
      next === undefined
        ? undefined
        : this.clock.after(Math.max(CONFIRM_TICK_MS, next.dueAt - now), () => this.#look());
    // Most polls are over by now.
    for (const { session, silent } of due) if (session.state === "open") this.confirm(session, silent);
  }

  stop(): void {
    this.#looking?.cancel();
    this.#forgetting?.cancel();
    this.#unconfirmed = [];
  }
}
