/** A page and its network, moved by hand: `surroundings.tell("offline")`; a storage in memory, which can be copied. */
import type { StorageLike, Surroundings, SurroundingsEvent } from "../../src/platform.ts";

export class FakeSurroundings implements Surroundings {
  hides = true;
  isOnline = true;
  readonly #handlers = new Map<SurroundingsEvent, Set<() => void>>();

  online(): boolean {
    return this.isOnline;
  }

  on(event: SurroundingsEvent, run: () => void): () => void {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers);
    handlers.add(run);
    return () => void handlers.delete(run);
  }

  tell(event: SurroundingsEvent): void {
    if (event === "online" || event === "offline") this.isOnline = event === "online";
    for (const run of this.#handlers.get(event) ?? []) run();
  }

  /** How many listen, so that a test sees what is left behind. */
  get listeners(): number {
    let count = 0;
    for (const handlers of this.#handlers.values()) count += handlers.size;
    return count;
  }
}

export class FakeStorage implements StorageLike {
  readonly items: Map<string, string>;

  constructor(items: Iterable<[string, string]> = []) {
    this.items = new Map(items);
  }

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    this.items.delete(key);
  }

  /** What a duplicated tab starts with. */
  copy(): FakeStorage {
    return new FakeStorage(this.items);
  }
}
