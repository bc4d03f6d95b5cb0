/** Simulated time: what shall happen, in the order in which it does. Things of the same moment happen in the order in which they were noted. */

interface Entry {
  readonly atMs: number;
  readonly number: number;
  readonly action: () => void;
}

export class Agenda {
  /** A binary heap: the next entry stands first. */
  readonly #heap: Entry[] = [];
  #nowMs = 0;
  #noted = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  get isEmpty(): boolean {
    return this.#heap.length === 0;
  }

  at(atMs: number, action: () => void): void {
    if (!(atMs >= this.#nowMs)) throw new Error(`${atMs} ms is no time after ${this.#nowMs} ms`);
    this.#rise({ atMs, number: this.#noted++, action });
  }

  after(ms: number, action: () => void): void {
    this.at(this.#nowMs + ms, action);
  }

  /** Until nothing is left, or until a time. */
  run(untilMs = Infinity): void {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs; next = this.#heap[0]) {
      this.#removeFirst();
      this.#nowMs = next.atMs;
      next.action();
    }
    if (untilMs !== Infinity) this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #rise(entry: Entry): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(entry);
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above] as Entry;
      if (isBefore(parent, entry)) break;
      heap[place] = parent;
      place = above;
    }
    heap[place] = entry;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      const left = 2 * place + 1;
      if (left >= heap.length) break;
      const right = heap[left + 1];
      const child = right !== undefined && isBefore(right, heap[left] as Entry) ? left + 1 : left;
      const below = heap[child] as Entry;
      if (isBefore(last, below)) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = last;
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.number < other.number);
}
