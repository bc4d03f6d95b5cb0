/** Rate limit: `burst` at once, then `perSecond`. One number of state: when the bucket will be full again. */
export class TokenBucket {
  readonly #stepMs: number;
  readonly #burstMs: number;
  #fullAt = -Infinity;

  constructor(perSecond: number, burst: number) {
    this.#stepMs = 1000 / perSecond;
    this.#burstMs = burst * this.#stepMs;
  }

  /** Takes one and returns 0, or takes none and returns in how many milliseconds there will be one. `nowMs` as `clock.uptime` counts. */
  take(nowMs: number): number {
    const waitMs = this.reserve(nowMs, 0);
    return waitMs ?? Math.max(1, Math.ceil(this.#waitMs(nowMs)));
  }

  /** Takes one that there will be within `waitMsMax`, and returns in how many milliseconds; undefined: there will be none so soon. */
  reserve(nowMs: number, waitMsMax: number): number | undefined {
    const waitMs = this.#waitMs(nowMs);
    // A part of a microsecond is what counting in fractions leaves.
    if (waitMs > waitMsMax + 0.001) return undefined;
    this.#fullAt = Math.max(this.#fullAt, nowMs) + this.#stepMs;
    return Math.max(0, waitMs);
  }

  /** Nothing was taken for so long that a new bucket would be no other. */
  isFull(nowMs: number): boolean {
    return this.#fullAt <= nowMs;
  }

  #waitMs(nowMs: number): number {
    return Math.max(this.#fullAt, nowMs) + this.#stepMs - nowMs - this.#burstMs;
  }
}

/** Buckets by key; those that are full again are forgotten. */
export class TokenBuckets {
  readonly #buckets = new Map<string, TokenBucket>();
  #sweepAt = 1000;

  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
  ) {}

  take(key: string, nowMs: number): number {
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= this.#sweepAt) this.#sweep(nowMs);
      bucket = new TokenBucket(this.perSecond, this.burst);
      this.#buckets.set(key, bucket);
    }
    return bucket.take(nowMs);
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** At every doubling: the cost is shared by the takes in between. */
  #sweep(nowMs: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.isFull(nowMs)) this.#buckets.delete(key);
    this.#sweepAt = Math.max(1000, this.#buckets.size * 2);
  }
}
