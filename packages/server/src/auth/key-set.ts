/**
 * Published keys (JWKS), kept at hand. They are asked for again when they are old, and when a token names a key that is not among them: that
 * is how an identity provider changes its keys. While they cannot be fetched, those that are known stay good.
 */
import type { Clock } from "../base/clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { TokenKey } from "./algorithms.ts";
import { readKeySet } from "./jwks.ts";

/** Tokens with invented names of keys must not make us ask at each. */
const BETWEEN_MS = 10_000;
/** After a failure. */
const RETRY_MS = 5000;
const TIMEOUT_MS = 5000;

export interface KeySet {
  readonly known: readonly TokenKey[];
  /** Counts up when `known` has changed. */
  readonly generation: number;
  /** Looks after the age of the keys. Undefined: what is known can be used at once. Never rejects. */
  ready(): Promise<void> | undefined;
  /** Asks for keys that are not known yet, unless that was done a moment ago. Rejects with `ReplyError(unavailable)` while they cannot be fetched. */
  renew(): Promise<void>;
}

export interface PublishedKeysOptions {
  /** Rejects when they cannot be had. */
  readonly fetchText: (signal: AbortSignal) => Promise<string>;
  readonly cacheMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class PublishedKeys implements KeySet {
  known: readonly TokenKey[] = [];
  generation = 0;
  #text = "";
  /** When the last attempt was over, and when the last one succeeded, as `clock.uptime` counts. */
  #triedAt = -Infinity;
  #fetchedAt = -Infinity;
  #failed = false;
  #fetching: Promise<void> | undefined;
  readonly #stopping = new AbortController();

  constructor(private readonly options: PublishedKeysOptions) {}

  ready(): Promise<void> | undefined {
    const { cacheMs, clock } = this.options;
    const now = clock.uptime();
    const ageMs = now - this.#fetchedAt;
    if (ageMs < cacheMs || (this.#failed && now - this.#triedAt < RETRY_MS)) return undefined;
    const fetching = this.#fetch();
    // Whoever comes a little late need not wait; after a long quiet time a key that was withdrawn meanwhile must not pass once more.
    return ageMs < 2 * cacheMs || this.#failed ? undefined : fetching;
  }

  async renew(): Promise<void> {
    const pauseMs = (): number => this.#triedAt + (this.#failed ? RETRY_MS : BETWEEN_MS) - this.options.clock.uptime();
    if (this.#fetching !== undefined || pauseMs() <= 0) await this.#fetch();
    if (!this.#failed) return;
    const detail = "the keys that tokens are signed with cannot be fetched";
    throw new ReplyError("unavailable", detail, Math.max(1, Math.ceil(pauseMs())));
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#stopping.abort();
  }

  #fetch(): Promise<void> {
    this.#fetching ??= this.#attempt().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #attempt(): Promise<void> {
    const { clock, log, fetchText } = this.options;
    const timeout = new AbortController();
    const timer = clock.after(TIMEOUT_MS, () => timeout.abort(new Error(`no answer in ${TIMEOUT_MS} ms`)));
    try {
      this.#take(await fetchText(AbortSignal.any([timeout.signal, this.#stopping.signal])));
      if (this.#failed) log.info("the keys of tokens can be fetched again");
      this.#failed = false;
      this.#fetchedAt = clock.uptime();
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      if (!this.#failed) log.warn("the keys of tokens cannot be fetched", { reason, known: this.known.length });
      this.#failed = true;
    } finally {
      timer.cancel();
      this.#triedAt = clock.uptime();
    }
  }

  #take(text: string): void {
    if (text === this.#text) return;
    const { keys, unusable } = readKeySet(text);
    for (const reason of unusable) this.options.log.warn("a published key is not used", { reason });
    if (keys.length === 0) this.options.log.warn("no published key can be used: tokens signed with them are refused");
    this.known = keys;
    this.generation++;
    this.#text = text;
  }
}
