/** Answers that the backend allows to be given again, for as long as it says. Bounded in number and bytes: the oldest go first. */
import { hash } from "node:crypto";
import type { Clock } from "../base/clock.ts";

const ENTRIES_MAX = 20_000;
const BYTES_MAX = 16 * 1024 ** 2;
/** Of a key, and of what a map entry costs. */
const ENTRY_BYTES = 200;

interface Entry<T> {
  readonly value: T;
  readonly until: number;
  readonly bytes: number;
}

export class AnswerCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  #bytes = 0;

  constructor(
    private readonly clock: Pick<Clock, "uptime">,
    private readonly entriesMax: number = ENTRIES_MAX,
    private readonly bytesMax: number = BYTES_MAX,
  ) {}

  /** Questions hold cookies, which need not lie in memory for longer than they are asked: a question is known by its hash. */
  static keyOf(question: string): string {
    return hash("sha256", question, "base64url");
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.until > this.clock.uptime()) return entry.value;
    this.#remove(key, entry);
    return undefined;
  }

  /** `bytes`: about what the value takes. */
  put(key: string, value: T, ms: number, bytes: number): void {
    const old = this.#entries.get(key);
    if (old !== undefined) this.#remove(key, old);
    const entry = { value, until: this.clock.uptime() + ms, bytes: bytes + ENTRY_BYTES };
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    for (const [oldestKey, oldest] of this.#entries) {
      if (this.#entries.size <= this.entriesMax && this.#bytes <= this.bytesMax) break;
      this.#remove(oldestKey, oldest);
    }
  }

  #remove(key: string, { bytes }: Entry<T>): void {
    this.#entries.delete(key);
    this.#bytes -= bytes;
  }
}
