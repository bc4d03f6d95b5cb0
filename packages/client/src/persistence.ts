/**
 * What outlives a page: positions, and the session, so that the next page of the same tab goes on where this one was left.
 *
 * A session belongs to one tab. `sessionStorage` is copied when a tab is duplicated, so the session stands there only
 * between two pages: taken out on arrival, put back on leaving. Where a copy gets through all the same, the server answers
 * the older tab with `replaced`.
 */
import type { Position } from "@longwire/protocol";
import type { Settings } from "./options.ts";
import type { StorageLike, Timer } from "./platform.ts";

const WRITE_DELAY_MS = 200;
/** Channels of long ago make room. */
const POSITIONS_MAX = 500;

/** A kept position; `made`: of a subscription that the server makes by itself. */
export interface Saved extends Position {
  readonly made?: boolean;
}

export class Persistence {
  readonly positions: Map<string, Saved> = new Map<string, Saved>();
  /** Channels that this page moved or dropped since it last wrote. */
  readonly #changed = new Set<string>();
  readonly #settings: Settings;
  readonly #key: string;
  readonly #sessions: StorageLike | undefined;
  readonly #store: StorageLike | undefined;
  #timer: Timer | undefined;
  #failed = false;

  constructor(settings: Settings, url: string) {
    this.#settings = settings;
    this.#key = `longwire ${url}`;
    if (settings.persist === "none") return;
    this.#sessions = settings.storage.session;
    this.#store = settings.storage[settings.persist];
    for (const [channel, saved] of Object.entries(this.#read())) {
      if (typeof saved?.epoch === "string" && Number.isSafeInteger(saved.offset)) this.positions.set(channel, saved);
    }
  }

  /** The session of the page before, once. */
  takeSession(): string | undefined {
    const session = this.#load(this.#sessions, "session");
    if (this.#settings.surroundings.hides) this.#guard(() => this.#sessions?.removeItem(`${this.#key} session`));
    return session;
  }

  keepSession(session: string | undefined): void {
    if (session) this.#save(this.#sessions, "session", session);
  }

  /** What worked on the page before; unless told otherwise, the first of the transports. */
  get transport(): string | undefined {
    return this.#load(this.#settings.storage.session, "transport") ?? this.#settings.transports[0];
  }

  /** Remembers it for the visit, whatever else is kept. */
  keepTransport(name: string): void {
    if (name !== this.transport) this.#save(this.#settings.storage.session, "transport", name);
  }

  #load(storage: StorageLike | undefined, what: string): string | undefined {
    return this.#guard(() => storage?.getItem(`${this.#key} ${what}`) ?? undefined);
  }

  #save(storage: StorageLike | undefined, what: string, value: string): void {
    this.#guard(() => storage?.setItem(`${this.#key} ${what}`, value));
  }

  set(channel: string, saved: Saved | undefined): void {
    if (!this.#store) return;
    if (saved) this.positions.set(channel, saved);
    else this.positions.delete(channel);
    this.#changed.add(channel);
    this.#timer ??= this.#settings.clock.after(WRITE_DELAY_MS, () => this.write());
  }

  /** Writes now. Other tabs write to the same place: only what this one changed since is its own to say. */
  write(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!this.#changed.size) return;
    const kept = new Map(Object.entries(this.#read()));
    for (const channel of this.#changed) {
      kept.delete(channel);
      const saved = this.positions.get(channel);
      if (saved) kept.set(channel, saved);
    }
    const entries = [...kept].slice(-POSITIONS_MAX);
    this.#guard(() => {
      this.#store?.setItem(this.#key, JSON.stringify(Object.fromEntries(entries)));
      this.#changed.clear();
    });
  }

  #read(): Record<string, Saved | null> {
    return this.#guard(() => JSON.parse(this.#store?.getItem(this.#key) ?? "{}") as Record<string, Saved | null>) ?? {};
  }

  /** Storage may be full, forbidden or filled by others; the client works without it, and says so once. */
  #guard<Value>(use: () => Value): Value | undefined {
    try {
      return use();
    } catch (error) {
      if (!this.#failed) this.#settings.report(error);
      this.#failed = true;
      return undefined;
    }
  }
}
