/**
 * Long answers, such as pages of histories, are asked for a few at a time. Redis puts answers into memory faster than it writes them, and ends a
 * connection that follows something when 32 MB wait there, or 8 MB for a minute: a thousand clients that come back at once, each with a page to be
 * read, would cost all of them the connection, and again when they try again.
 */

/** What answers on their way may take together. One is always asked for, however long it may be. */
const BYTES_MAX = 2 * 1024 * 1024;

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

export class AnswerBudget {
  #taken = 0;
  readonly #waiting = new Set<Waiting>();

  /** In the order of the calls. `bytes`: about how long the answer may be. */
  async ask<T>(bytes: number, question: () => Promise<T>): Promise<T> {
    if (this.#waiting.size === 0 && this.#fits(bytes)) this.#taken += bytes;
    else await new Promise<void>((go) => this.#waiting.add({ bytes, go }));
    try {
      return await question();
    } finally {
      this.#taken -= bytes;
      this.#admit();
    }
  }

  #fits(bytes: number): boolean {
    return this.#taken === 0 || this.#taken + bytes <= BYTES_MAX;
  }

  /** Taken for them here, since others may ask before they go on. */
  #admit(): void {
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) return;
      this.#waiting.delete(waiting);
      this.#taken += waiting.bytes;
      waiting.go();
    }
  }
}
