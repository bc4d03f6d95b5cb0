/**
 * What one client was handed of one channel, whose publications are numbered 1, 2, 3, … by their publisher: each is repeated until it is
 * acknowledged, and the next one follows only then. So the numbers say what is missing, doubled or out of order, whatever became of
 * epochs and offsets.
 */

/** Publications that did not come, with both ends. */
export interface Missing {
  readonly from: number;
  readonly to: number;
  /** The client was told, in this place, that something may be missing. */
  readonly isTold: boolean;
}

export interface Account {
  readonly last: number;
  readonly missing: readonly Missing[];
  readonly doubled: number;
  readonly disordered: number;
  /** For each `recovered: false`, the last publication before it. */
  readonly told: readonly number[];
}

export class Ledger {
  #last = 0;
  #doubled = 0;
  #disordered = 0;
  /** Since the last publication that was new. */
  #isTold = false;
  #missing: Missing[] = [];
  readonly #told: number[] = [];

  get last(): number {
    return this.#last;
  }

  got(number: number): void {
    if (number > this.#last) {
      if (number > this.#last + 1) this.#lack(this.#last + 1, number - 1);
      this.#last = number;
      this.#isTold = false;
      return;
    }
    const hole = this.#missing.find(({ from, to }) => from <= number && number <= to);
    if (hole !== undefined) {
      this.#disordered++;
      this.#fill(hole, number);
    } else if (!this.#isTold) this.#doubled++;
    // After a loss that was told, a publication that was lost before it was acknowledged may come anew.
  }

  /** `recovered: false`. */
  tell(): void {
    this.#told.push(this.#last);
    this.#isTold = true;
  }

  account(total: number): Account {
    if (this.#last < total) this.#lack(this.#last + 1, total);
    const [last, missing, doubled, disordered] = [this.#last, this.#missing, this.#doubled, this.#disordered];
    return { last, missing, doubled, disordered, told: this.#told };
  }

  #lack(from: number, to: number): void {
    this.#missing.push({ from, to, isTold: this.#isTold });
  }

  #fill(hole: Missing, number: number): void {
    const rest = [
      { ...hole, to: number - 1 },
      { ...hole, from: number + 1 },
    ].filter(({ from, to }) => from <= to);
    this.#missing = this.#missing.flatMap((one) => (one === hole ? rest : [one]));
  }
}
