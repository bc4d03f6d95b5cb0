/** Idempotency keys: what was answered to a publish with a key, for as long as the window lasts. */
import { hash } from "node:crypto";
import { ReplyError } from "../base/failures.ts";
import type { Draft } from "../ports/broker.ts";

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
  return hash("sha256", `${name}\n${draft.data}`, "base64");
}

export class IdempotencyKeys {
  // The window is the same for all, so the order of insertion is the order of expiry.
  readonly #answers = new Map<string, KeyedAnswer>();

  constructor(readonly windowMs: number) {}

  /** The first answer to this key, or undefined if it is new. Throws `ReplyError(conflict)` for another publication. */
  find(channel: string, key: string, digest: string, now: number): KeyedAnswer | undefined {
    const answer = this.#answers.get(nameOf(channel, key));
    if (answer === undefined || answer.time + this.windowMs <= now) return undefined;
    if (answer.digest !== digest) {
      throw new ReplyError("conflict");
    }
    return answer;
  }

  add(channel: string, key: string, answer: KeyedAnswer): void {
    const name = nameOf(channel, key);
    this.#answers.delete(name);
    this.#answers.set(name, answer);
  }

  /** For an answer that could not be kept after all. */
  remove(channel: string, key: string): void {
    this.#answers.delete(nameOf(channel, key));
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
      this.#answers.delete(name);
      row = answer.row;
    }
    return row;
  }
}

/** Channel names hold no white space, so the line break keeps the two apart. */
function nameOf(channel: string, key: string): string {
  return `${channel}\n${key}`;
}
