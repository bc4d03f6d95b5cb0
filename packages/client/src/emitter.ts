/** Typed events. A handler that throws is reported, and the handlers and events after it go on. */

export type Handler<Value> = (value: Value) => unknown;

export class Emitter<Events> {
  readonly #handlers = new Map<keyof Events, Set<Handler<never>>>();
  readonly #report: (error: unknown) => void;
  #next: Emitter<Events> | undefined;

  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  /** Adds a handler; call the result to take it away. */
  on<Name extends keyof Events>(event: Name, handler: Handler<Events[Name]>): () => void {
    let handlers = this.#handlers.get(event);
    if (!handlers) this.#handlers.set(event, (handlers = new Set()));
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /** Hands every event on to another emitter too, or no longer. */
  forward(next: Emitter<Events> | undefined): void {
    this.#next = next;
  }

  has(event: keyof Events): boolean {
    return !!this.#handlers.get(event)?.size || !!this.#next?.has(event);
  }

  emit<Name extends keyof Events>(event: Name, value: Events[Name]): void {
    // A copy: a handler may add or remove handlers.
    for (const handler of [...(this.#handlers.get(event) ?? [])] as Handler<Events[Name]>[]) {
      try {
        const result = handler(value);
        // An async handler fails later, where nobody would see it.
        if (result instanceof Promise) result.catch(this.#report);
      } catch (error) {
        this.#report(error);
      }
    }
    this.#next?.emit(event, value);
  }
}
