/** Sessions: who is connected to this process, by id and by user. */
import type { Session } from "./model.ts";

export class Sessions {
  readonly #byId = new Map<string, Session>();
  // Most users have one session: a set each would cost more than the session itself.
  readonly #byUser = new Map<string, Session | Set<Session>>();

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
    const found = this.#byUser.get(user);
    if (found === undefined) return [];
    return found instanceof Set ? [...found] : [found];
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
    const found = this.#byUser.get(user);
    if (found === undefined) this.#byUser.set(user, session);
    else if (found instanceof Set) found.add(session);
    else if (found !== session) this.#byUser.set(user, new Set([found, session]));
  }

  #unindex(session: Session): void {
    const { user } = session;
    if (user === undefined) return;
    const found = this.#byUser.get(user);
    if (found === session) this.#byUser.delete(user);
    else if (found instanceof Set) {
      found.delete(session);
      if (found.size === 0) this.#byUser.delete(user);
    }
  }
}
