/** The token at hand: fetched when there is none, renewed before it expires and when the server calls it bad. */
import type { Clock, Timer } from "./platform.ts";

/** Renewed so long before its end, or after nine tenths of its life where that is later. */
const MARGIN_MS = 30_000;
/** Pause after a renewal that failed. */
const RETRY_MS = 5000;
/** A question that is not answered for so long is asked again: on a phone it may never be. */
const PATIENCE_MS = 10_000;

export interface TokenSettings {
  readonly token?: string;
  readonly getToken?: () => Promise<string>;
  readonly clock: Clock;
  readonly report: (error: unknown) => void;
}

export class Tokens {
  current: string | undefined;
  readonly #settings: TokenSettings;
  readonly #send: (token: string) => Promise<number | undefined>;
  #timer: Timer | undefined;
  #fetching: Promise<string> | undefined;
  #fetchingSince = 0;
  /** What was asked for somebody who has left must not count for the next. */
  #turn = 0;

  /** `send` gives the server a new token and resolves to its life in milliseconds. */
  constructor(settings: TokenSettings, send: (token: string) => Promise<number | undefined>) {
    this.current = settings.token;
    this.#settings = settings;
    this.#send = send;
  }

  get renewable(): boolean {
    return Boolean(this.#settings.getToken);
  }

  /** A new token. Those who ask at the same time share one question. */
  obtain(): Promise<string> {
    const now = this.#settings.clock.now();
    if (!this.#fetching || now - this.#fetchingSince >= PATIENCE_MS) {
      this.#fetchingSince = now;
      this.#fetching = this.#ask();
    }
    return this.#fetching;
  }

  async #ask(): Promise<string> {
    const turn = this.#turn;
    try {
      const token = await tokenOf(this.#settings.getToken);
      if (turn === this.#turn) this.current = token;
      return token;
    } finally {
      if (turn === this.#turn) this.#fetching = undefined;
    }
  }

  /** The next to connect may be somebody else. A token that cannot be asked for again stays. */
  forget(): void {
    if (!this.renewable) return;
    this.#turn++;
    this.current = this.#fetching = undefined;
  }

  /** The server says how long the token is good from now on. */
  renewBefore(ms: number | undefined): void {
    this.stop();
    if (ms !== undefined && this.renewable) this.#renewIn(Math.max(ms - MARGIN_MS, ms * 0.9));
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Fetches a new token and gives it to the server. */
  async renew(): Promise<void> {
    const turn = this.#turn;
    const token = await this.obtain();
    if (turn === this.#turn) this.renewBefore(await this.#send(token));
  }

  #renewIn(ms: number): void {
    this.#timer = this.#settings.clock.after(ms, () => {
      // Retried until the server ends the connection with `expiredToken`, after which the way in asks for a token anyway.
      this.#renewIn(RETRY_MS);
      this.renew().catch(this.#settings.report);
    });
  }
}

/** What the application gives for a token: pages without a type checker give anything, and throw where they should fail. */
export async function tokenOf(get: (() => Promise<string>) | undefined): Promise<string> {
  const token: unknown = await get?.();
  if (typeof token !== "string" || !token) throw new TypeError("no token");
  return token;
}
