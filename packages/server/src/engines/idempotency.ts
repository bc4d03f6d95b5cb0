/**
 * Idempotency keys: what was answered to a publish with a key, for as long as the window lasts. They have a budget; beyond it new keys
 * are refused, since to forget one before its time would store its repetition twice.
 */
import { hash } from "node:crypto";
import { ReplyError } from "../base/failures.ts";
import type { Draft } from "../ports/broker.ts";

/** Some 400,000 keys: more than 1,000 new ones in each second of the usual window. */
export const IDEMPOTENCY_BYTES_MAX = 128 * 1024 * 1024;

/** What a key costs beside its own text and its channel's, roughly (measured: 225). */
const OVERHEAD_BYTES = 256;

const RETRY_MIN_MS = 1_000;

export interface KeyedAnswer {
  /** Fingerprint of what was published: the data may be large, and only equality matters. */
  readonly digest: string;
  readonly epoch: string;
  readonly offset: number;
  readonly time: number;
  /** Where the store has it; 0 where there is no store. */
  readonly row: number;
}

export function digestOf(draft: Draft): string {
  // The length keeps name and data apart; a missing name is not an empty one.
  const name = draft.name === undefined ? "-" : `${draft.name.length}:${draft.name}`;
  return hash("sha256", `${name}${draft.encoding ?? ""}\n${draft.data}`, "base64");
}

export class IdempotencyKeys {
  // The window is the same for all, so the order of insertion is the order of expiry.
  readonly #answers = new Map<string, KeyedAnswer>();

  #bytes = 0;

  constructor(
    readonly windowMs: number,
    readonly bytesMax = IDEMPOTENCY_BYTES_MAX,
  ) {}

  /**
   * The first answer to this key, or undefined if it is new and may be added. Throws `ReplyError`: `conflict` for another publication,
   * `unavailable` where there is no room for a new key.
   */
  find(channel: string, key: string, digest: string, now: number): KeyedAnswer | undefined {
    const name = nameOf(channel, key);
    const answer = this.#answers.get(name);
    if (answer === undefined || answer.time + this.windowMs <= now) {
      if (this.#bytes + bytesOf(name) > this.bytesMax) throw this.#refusal(now);
      return undefined;
    }
    if (answer.digest !== digest) {
      throw new ReplyError("conflict");
    }
    return answer;
  }

  #refusal(now: number): ReplyError {
    const [oldest] = this.#answers.values();
    const retryMs = oldest === undefined ? 0 : oldest.time + this.windowMs - now;
    return new ReplyError("unavailable", "too many idempotency keys are in use", Math.max(RETRY_MIN_MS, retryMs));
  }

  add(channel: string, key: string, answer: KeyedAnswer): void {
    const name = nameOf(channel, key);
    this.#delete(name);
    this.#answers.set(name, answer);
    this.#bytes += bytesOf(name);
  }

  /** For an answer that could not be kept after all. */
  remove(channel: string, key: string): void {
    this.#delete(nameOf(channel, key));
  }

  #delete(name: string): void {
    if (this.#answers.delete(name)) this.#bytes -= bytesOf(name);
  }

  hasExpired(now: number): boolean {
    for (const answer of this.#answers.values()) return answer.time + this.windowMs <= now;
    return false;
  }

  /** Forgets at most `limit` expired answers; returns the row of the last one, or 0. */
  expire(now: number, limit: number): number {
    let row = 0;
    let left = limit;
    for (const [name, answer] of this.#answers) {
      if (answer.time + this.windowMs > now || left-- === 0) break;
      this.#delete(name);
      row = answer.row;
    }
    return row;
  }
}

function bytesOf(name: string): number {
  return OVERHEAD_BYTES + name.length;
}

/** Channel names hold no white space, so the line break keeps the two apart. */
function nameOf(channel: string, key: string): string {
  return `${channel}\n${key}`;
}
