/** The last publications of a channel: consecutive offsets, bounded by number and bytes; the oldest give way. */

interface RingItem {
  readonly offset: number;
  readonly data: string;
}

export class Ring<Item extends RingItem> {
  #items: Item[] = [];
  #head = 0;
  #bytes = 0;

  constructor(
    private readonly sizeMax: number,
    private readonly bytesMax: number,
  ) {}

  /** Adds the publication after the last one. A publication that does not follow on the last one empties the ring first. */
  push(item: Item): void {
    const last = this.#items.at(-1);
    if (last !== undefined && item.offset !== last.offset + 1) this.clear();
    this.#items.push(item);
    this.#bytes += item.data.length;
    while (this.size > this.sizeMax || (this.#bytes > this.bytesMax && this.size > 1)) this.#shift();
  }

  get size(): number {
    return this.#items.length - this.#head;
  }

  /** The items with offsets above `offset`, or undefined when one of them has been pushed out. */
  after(offset: number): readonly Item[] | undefined {
    const first = this.#items[this.#head];
    if (first === undefined || first.offset > offset + 1) return undefined;
    return this.#items.slice(this.#head + (offset + 1 - first.offset));
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  #shift(): void {
    this.#bytes -= this.#items[this.#head]?.data.length ?? 0;
    this.#head++;
    // Compacting now and then keeps a shift cheap on average; Array.shift would move everything each time.
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }
}
