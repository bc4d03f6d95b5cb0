/** Sessions: who is connected to this process, by id and by user. */
import { type Few, itemsOf, withItem, withoutItem } from "../base/few.ts";
import type { Session } from "./model.ts";

export class Sessions {
  readonly #byId = new Map<string, Session>();
  readonly #byUser = new Map<string, Few<Session>>();

  get size(): number {
    return this.#byId.size;
  }

  get userCount(): number {
    return this.#byUser.size;
  }

  get(id: string): Session | undefined {
    return this.#byId.get(id);
  }

  all(): IterableIterator<Session> {
    return this.#byId.values();
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

  add(session: Session): void {
    this.#byId.set(session.id, session);
    this.#index(session);
  }

  remove(session: Session): void {
    if (this.#byId.get(session.id) === session) this.#byId.delete(session.id);
    this.#unindex(session);
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
    this.#byUser.set(user, withItem(this.#byUser.get(user) ?? null, session));
  }

  #unindex(session: Session): void {
    const { user } = session;
    if (user === undefined) return;
    const rest = withoutItem(this.#byUser.get(user) ?? null, session);
    if (rest === null) this.#byUser.delete(user);
    else this.#byUser.set(user, rest);
  }
}
