/**
 * Requests that wait for their answer, sent or not yet: one table in the order of asking, so that what a cut left
 * unanswered goes out again first and in its old order. Bounded in count and bytes, for the application: what the SDK asks
 * by itself is one subscribe for each channel at most, and must neither fail nor take the application's room.
 */
import type { Command, ERRORS, ServerFrame } from "@longwire/protocol";
import { LongwireError, refusal } from "./failures.ts";
import type { Clock, Timer } from "./platform.ts";

/** A command without its `id`, whose optional fields may also be there as `undefined`: JSON leaves those away. */
export type Draft = Command extends infer C
  ? C extends Command
    ? { readonly [K in keyof C as Exclude<K, "id">]: C[K] | (K extends "type" ? never : undefined) }
    : never
  : never;

// Typed by the table instead of read from it, for size.
const MESSAGE_TOO_LARGE: (typeof ERRORS)["tooLarge"]["code"] = 104;

/**
 * What becomes of a request without a connection. `repeat`: it waits for one, and goes out again after a cut: it does no harm
 * when done twice. `once`: it waits, and fails with the connection that it went out on. Neither is for the SDK's own
 * requests, which belong to the connection that stands.
 */
export type RequestPolicy = "repeat" | "once" | undefined;

export type Answer = (frame: ServerFrame | LongwireError) => void;

export interface RequestSettings {
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
  readonly queueTimeoutMs: number;
  readonly queueCountMax: number;
  readonly queueBytesMax: number;
}

interface Entry {
  readonly text: string;
  readonly policy: RequestPolicy;
  readonly answer: Answer;
  /** When waiting for a connection must end. */
  readonly deadline: number;
  sent?: boolean;
  timer?: Timer;
}

export class Requests {
  readonly #entries = new Map<number, Entry>();
  readonly #settings: RequestSettings;
  /** Sends a frame; `false` when there is no connection. */
  readonly #transmit: (text: string) => boolean;
  #lastId = 0;
  #count = 0;
  #length = 0;

  constructor(settings: RequestSettings, transmit: (text: string) => boolean) {
    this.#settings = settings;
    this.#transmit = transmit;
  }

  ask(draft: Draft, policy: RequestPolicy, answer: Answer): void {
    const id = ++this.#lastId;
    const text = JSON.stringify({ ...draft, id });
    const { clock, queueCountMax, queueBytesMax, queueTimeoutMs } = this.#settings;
    // JavaScript keeps a string in one or two bytes per character: twice the length is what it can cost.
    if (policy && (this.#count >= queueCountMax || (this.#length + text.length) * 2 > queueBytesMax)) {
      answer(new LongwireError("queueFull", "too many requests"));
      return;
    }
    const sent = this.#transmit(text);
    if (!sent && !policy) {
      answer(new LongwireError("lost", "no connection"));
      return;
    }
    const deadline = clock.now() + queueTimeoutMs;
    this.#occupy(policy, 1, text.length);
    const entry: Entry = { text, policy, answer, deadline };
    this.#entries.set(id, entry);
    this.#mark(id, entry, sent);
  }

  /** Hands an answer to who asked; `false` when nobody did (any more). */
  answer(frame: ServerFrame): boolean {
    const { id = 0 } = frame as { readonly id?: number };
    return this.#finish(id, frame.type === "error" ? refusal(frame) : frame);
  }

  /** The connection stands: what waits goes out. */
  up(): void {
    for (const [id, entry] of this.#entries) {
      if (!entry.sent && this.#transmit(entry.text)) this.#mark(id, entry, true);
    }
  }

  /**
   * The connection is gone: what may be repeated waits for the next one. `tooLarge`: for the size of something sent. If
   * anything here was too large, the largest was, and would end the next connection as well. Whether others were, those
   * that follow tell: each such end takes at least one away.
   */
  down(tooLarge: boolean): void {
    const sent = [...this.#entries].filter(([, entry]) => entry.sent);
    const largest = tooLarge ? Math.max(...sent.map(([, { text }]) => bytesOf(text))) : 0;
    for (const [id, entry] of sent) {
      if (bytesOf(entry.text) === largest) {
        this.#finish(id, new LongwireError("refused", "the message is too large", MESSAGE_TOO_LARGE));
      } else if (entry.policy === "repeat") this.#mark(id, entry, false);
      else this.#finish(id, new LongwireError("lost", "the connection broke"));
    }
  }

  /** There will be no connection: everything fails. */
  fail(error: LongwireError): void {
    for (const id of Array.from(this.#entries.keys())) this.#finish(id, error);
  }

  #mark(id: number, entry: Entry, sent: boolean): void {
    const { clock, requestTimeoutMs } = this.#settings;
    const ms = sent ? requestTimeoutMs : Math.max(0, entry.deadline - clock.now());
    entry.sent = sent;
    entry.timer?.cancel();
    entry.timer = clock.after(ms, () => {
      this.#finish(id, new LongwireError("timeout", `no ${sent ? "answer" : "connection"} in time`));
    });
  }

  #occupy(policy: RequestPolicy, count: number, length: number): void {
    if (!policy) return;
    this.#count += count;
    this.#length += length;
  }

  /** `false` when nobody waits for it (any more). */
  #finish(id: number, result: ServerFrame | LongwireError): boolean {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    this.#entries.delete(id);
    this.#occupy(entry.policy, -1, -entry.text.length);
    entry.timer?.cancel();
    entry.answer(result);
    return true;
  }
}

/** In UTF-8, as the server counts. Without `TextEncoder`, which devices may not have. */
function bytesOf(text: string): number {
  return encodeURIComponent(text).replace(/%../g, "x").length;
}
