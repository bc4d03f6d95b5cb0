/**
 * Seeded randomness for tests. `seeded(run)` picks a seed (`LONGWIRE_SEED` sets it) and names it when `run` fails:
 *
 *     seeded((random) => { expect(decode(encode(random.json(4)))).toEqual(…) });
 */

/** Characters of every width in UTF-8, and the ones that JSON must escape. */
const CHARACTERS = ["a", "B", "7", ":", "@", "=", ".", "/", '"', "\\", "é", "€", "中", "😀"];
const AWKWARD = ["\n", "\u0000", "\u001f", "\u007f", "\ud800", "\udc00", " ", ",", "\ufeff", "\u2028"];

export type RandomJson = string | number | boolean | null | RandomJson[] | { [key: string]: RandomJson };

export class Random {
  private state: number;

  constructor(readonly seed: number) {
    this.state = seed;
  }

  /** A whole number from 0 to `below` - 1 (mulberry32). */
  below(below: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  /** Text of good name characters; `awkward` adds control characters and lone surrogates. */
  text(lengthMax: number, awkward = false): string {
    const characters = awkward ? [...CHARACTERS, ...AWKWARD] : CHARACTERS;
    return Array.from({ length: this.below(lengthMax + 1) }, () => this.pick(characters)).join("");
  }

  integer(): number {
    return this.pick([0, 1, this.below(1000), this.below(2 ** 31), Number.MAX_SAFE_INTEGER - this.below(100)]);
  }

  /** A JSON value nested at most `depth` deep. */
  json(depth: number): RandomJson {
    const kind = this.below(depth > 0 ? 7 : 5);
    if (kind === 0) return this.text(12, true);
    if (kind === 1) return this.pick([this.integer(), -this.integer(), this.below(1000) / 8]) + 0;
    if (kind === 2) return this.chance(50);
    if (kind === 3) return null;
    if (kind === 4) return "";
    const children = Array.from({ length: this.below(4) }, () => this.json(depth - 1));
    if (kind === 5) return children;
    return Object.fromEntries(
      children.map((child) => [this.pick(["a", "id", "__proto__", this.text(5, true)]), child]),
    );
  }
}

export function seeded(run: (random: Random) => void): void {
  const given = Number(process.env["LONGWIRE_SEED"]);
  const seed = given > 0 ? given : Math.floor(Math.random() * 2 ** 31) + 1;
  try {
    run(new Random(seed));
  } catch (cause) {
    throw new Error(`failed with LONGWIRE_SEED=${seed}: ${String(cause)}`, { cause });
  }
}
