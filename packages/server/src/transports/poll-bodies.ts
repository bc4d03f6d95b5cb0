/** Bodies of poll answers: made, and compressed, once for all polls that get the same one after another. */
import type { Frame } from "../ports/connection.ts";

/** Below it, compressing costs more than it saves. */
const GZIP_BYTES_MIN = 1024;

export class PollBodies {
  readonly #plainHeaders: Headers;
  readonly #gzipHeaders: Headers;
  #cursor = "";
  #frames: readonly Frame[] = [];
  #plain: Uint8Array<ArrayBuffer> | null = null;
  #gzipped: Uint8Array<ArrayBuffer> | null = null;

  constructor(compression: boolean) {
    const plain = {
      "content-type": "application/json",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
      "x-content-type-options": "nosniff",
      ...(compression && { vary: "accept-encoding" }),
    };
    // Made once: from an object they would be made anew for every answer.
    this.#plainHeaders = new Headers(plain);
    this.#gzipHeaders = new Headers({ ...plain, "content-encoding": "gzip" });
  }

  /** `cursor` holds nothing that JSON would have to escape. */
  answer(cursor: string, frames: readonly Frame[], gzip: boolean): Response {
    const body = this.#bodyOf(cursor, frames);
    if (!gzip || body.length < GZIP_BYTES_MIN) return new Response(body, { headers: this.#plainHeaders });
    this.#gzipped ??= Bun.gzipSync(body);
    return new Response(this.#gzipped, { headers: this.#gzipHeaders });
  }

  #bodyOf(cursor: string, frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
    if (this.#plain !== null && cursor === this.#cursor && sameFrames(frames, this.#frames)) return this.#plain;
    this.#cursor = cursor;
    this.#frames = frames;
    this.#gzipped = null;
    this.#plain = new TextEncoder().encode(`{"cursor":"${cursor}","frames":[${frames.join(",")}]}`);
    return this.#plain;
  }
}

function sameFrames(some: readonly Frame[], others: readonly Frame[]): boolean {
  return some.length === others.length && some.every((frame, at) => frame === others[at]);
}
