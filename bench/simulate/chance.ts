/** What happens by chance in a simulation, all of it from one seed. */
import { Random } from "@longwire/protocol/test/random";

const STEPS = 2 ** 32;

export class Chance {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** From 0 up to, but not including, 1. */
  share(): number {
    return this.#random.below(STEPS) / STEPS;
  }

  below(below: number): number {
    return Math.floor(this.share() * below);
  }

  /** The time until the next of events that come by themselves, so many a second. */
  gapMs(perSecond: number): number {
    return (-Math.log(1 - this.share()) * 1000) / perSecond;
  }

  /** How many of events that come by themselves there are, where `mean` are expected. */
  count(mean: number): number {
    // Many of them are close to a bell curve, and counting one by one would take as long as they are many.
    if (mean > 200) return Math.max(0, Math.round(mean + Math.sqrt(mean) * this.#bell()));
    const limit = Math.exp(-mean);
    let count = 0;
    for (let product = this.share(); product > limit; product *= this.share()) count++;
    return count;
  }

  #bell(): number {
    return Math.sqrt(-2 * Math.log(1 - this.share())) * Math.cos(2 * Math.PI * this.share());
  }
}
