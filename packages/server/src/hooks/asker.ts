/**
 * Asker: hands questions to the backend, a bounded number at a time, and gives up on each in time. What is wrong with the backend stands in the
 * log once and not once per client; clients are told that it passes.
 */
import type { Clock } from "../base/clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Call, CallAnswer } from "./http-call.ts";

/** Failures closer together than this are one outage. */
const QUIET_MS = 10_000;

/** How often a long outage is told again. */
const REMIND_MS = 60_000;

/** When clients that could not be served may come back: not all at once. */
const RETRY_MS = 500;
const RETRY_SPREAD_MS = 2000;

/** The answer is none: it is told to the operator, not to the client. */
export class Nonsense extends Error {}

export interface AskerParts {
  readonly call: Call;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs: number;
  readonly concurrencyMax: number;
  readonly queueMax: number;
}

export class Asker {
  #asking = 0;
  readonly #waiting = new Set<() => void>();
  readonly #open = new Set<AbortController>();
  #isStopped = false;
  #failures = 0;
  #failedAt = 0;
  #loggedAt = 0;

  constructor(private readonly parts: AskerParts) {}

  /**
   * Resolves to what `read` makes of the answer. Rejects with the `ReplyError` that `read` throws, and with `ReplyError(unavailable)` where there
   * is no answer in time or `read` throws `Nonsense`.
   */
  async ask<T>(event: string, body: string, read: (answer: CallAnswer) => T, cookie?: string): Promise<T> {
    const { clock, timeoutMs, call } = this.parts;
    const end = new AbortController();
    const { signal } = end;
    const timer = clock.after(timeoutMs, () => end.abort(new Error(`no answer within ${timeoutMs} ms`)));
    this.#open.add(end);
    try {
      await this.#turn(signal);
      let answer: CallAnswer;
      try {
        answer = await call(body, signal, cookie);
      } finally {
        this.#done();
      }
      const result = read(answer);
      this.#answered();
      return result;
    } catch (error) {
      if (error instanceof ReplyError) {
        this.#answered();
        throw error;
      }
      if (!this.#isStopped) this.#failed(event, reasonOf(signal.aborted ? signal.reason : error));
      const retryMs = Math.round(RETRY_MS + Math.random() * RETRY_SPREAD_MS);
      throw new ReplyError("unavailable", "the application cannot be asked", retryMs);
    } finally {
      timer.cancel();
      this.#open.delete(end);
    }
  }

  /** Gives up on every question. */
  stop(): void {
    this.#isStopped = true;
    for (const end of this.#open) end.abort(new Error("the server stops"));
  }

  /** Resolves when it is this question's turn. */
  #turn(signal: AbortSignal): Promise<void> | undefined {
    if (this.#isStopped) throw new Error("the server stops");
    const { concurrencyMax, queueMax } = this.parts;
    if (this.#asking < concurrencyMax) {
      this.#asking++;
      return undefined;
    }
    if (this.#waiting.size >= queueMax) throw new Error(`${queueMax} questions are waiting already (hookQueueMax)`);
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        signal.removeEventListener("abort", give);
        resolve();
      };
      const give = (): void => {
        this.#waiting.delete(begin);
        reject(signal.reason as Error);
      };
      this.#waiting.add(begin);
      signal.addEventListener("abort", give, { once: true });
    });
  }

  /** Its place goes to the one that waits longest. */
  #done(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#asking--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }

  #failed(event: string, reason: string): void {
    const { clock, log } = this.parts;
    const now = clock.uptime();
    this.#failures++;
    this.#failedAt = now;
    if (this.#failures > 1 && now - this.#loggedAt < REMIND_MS) return;
    this.#loggedAt = now;
    log.warn("hook failed", { hook: event, reason, failures: this.#failures });
  }

  #answered(): void {
    if (this.#failures === 0 || this.parts.clock.uptime() - this.#failedAt < QUIET_MS) return;
    this.parts.log.info("hook answers again", { failures: this.#failures });
    this.#failures = 0;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
