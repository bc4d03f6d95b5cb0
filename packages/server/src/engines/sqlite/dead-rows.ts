/** Rows of publications that no history shows any more, waiting to be deleted in small portions. */

export class DeadRows {
  #rows: number[] = [];
  #head = 0;
  #taken = 0;

  get count(): number {
    return this.#rows.length - this.#head;
  }

  add(row: number): void {
    this.#rows.push(row);
  }

  /**
   * Up to `limit` rows as runs of neighbours: channels of one retention die in the order of their birth, so a run is usually
   * all of them and one statement. They stay here until `deleted`.
   */
  take(limit: number, run: (first: number, last: number) => void): void {
    this.#taken = Math.min(limit, this.count);
    const rows = this.#rows.slice(this.#head, this.#head + this.#taken).toSorted((a, b) => a - b);
    for (let at = 0; at < rows.length;) {
      const first = rows[at] as number;
      let last = first;
      while (++at < rows.length && rows[at] === last + 1) last++;
      run(first, last);
    }
  }

  /** The rows taken last are gone for good. */
  deleted(): void {
    this.#head += this.#taken;
    this.#taken = 0;
    if (this.#head * 2 > this.#rows.length) {
      this.#rows = this.#rows.slice(this.#head);
      this.#head = 0;
    }
  }
}
