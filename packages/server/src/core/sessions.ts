/**
 * Sessions: who is connected to this process, by id and by user; and, apart, the connections whose session does not count: not
 * connected yet, or already sent away. Each is in one place only, since every further set costs each idle connection its entry.
 */
import { type Few, itemsOf, withItem, withoutItem } from "../base/few.ts";
import type { Session } from "./model.ts";

export class Sessions {
  readonly #byId = new Map<string, Session>();
  readonly #byUser = new Map<string, Few<Session>>();
  readonly #outside = new Set<Session>();
  #gone = 0;
  /** Told of a user whose first session has come or whose last one has gone; null: nobody wants to know. */
  userChanged: ((user: string) => void) | null = null;

  get size(): number {
    return this.#byId.size;
  }

  get userCount(): number {
    return this.#byUser.size;
  }

  get(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  /** Whether the user has sessions here. */
  has(user: string): boolean {
    return this.#byUser.has(user);
  }

  ids(): IterableIterator<string> {
    return this.#byId.keys();
  }

  users(): IterableIterator<string> {
    return this.#byUser.keys();
  }

  ofUser(user: string): readonly Session[] {
    return [...itemsOf(this.#byUser.get(user) ?? null)];
  }

  /** Open connections, whatever their sessions' state. */
  get connectionCount(): number {
    return this.#byId.size + this.#outside.size;
  }

  /** Connections opened and closed since the start, counted up. */
  get changes(): number {
    return this.connectionCount + 2 * this.#gone;
  }

  /** Everybody with a connection; safe against changes while it runs. */
  everybody(): readonly Session[] {
    return [...this.#byId.values(), ...this.#outside];
  }

  /** A connection has come; it is nobody yet. */
  arrive(session: Session): void {
    this.#outside.add(session);
  }

  /** It has connected. */
  add(session: Session): void {
    this.#outside.delete(session);
    this.#byId.set(session.id, session);
    this.#index(session);
  }

  /** It is over; its connection may still be closing. */
  retire(session: Session): void {
    if (this.#byId.get(session.id) === session) this.#byId.delete(session.id);
    this.#unindex(session);
    this.#outside.add(session);
  }

  /** The connection is gone. Called after `retire`. */
  leave(session: Session): void {
    if (this.#outside.delete(session)) this.#gone++;
  }

  /** Runs a change of the session's identity and keeps the index right. */
  change(session: Session, change: () => void): void {
    this.#unindex(session);
    change();
    this.#index(session);
  }

  #index(session: Session): void {
    const { user } = session;
    if (user === undefined) return;
    const others = this.#byUser.get(user) ?? null;
    this.#byUser.set(user, withItem(others, session));
    if (others === null) this.userChanged?.(user);
  }

  #unindex(session: Session): void {
    const { user } = session;
    if (user === undefined) return;
    const all = this.#byUser.get(user);
    if (all === undefined) return;
    const rest = withoutItem(all, session);
    if (rest !== null) {
      this.#byUser.set(user, rest);
      return;
    }
    this.#byUser.delete(user);
    this.userChanged?.(user);
  }
}
