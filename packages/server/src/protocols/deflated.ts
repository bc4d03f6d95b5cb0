/**
 * Publications deflated (`?compress=deflate`, SPEC.md CM-4): a frame of 1 KB and more goes out as a binary message, its text in raw
 * deflate (RFC 1951); everything else stays text. It is a wire form of its own, so a publication is deflated once for all who
 * take it, where permessage-deflate would do so for every connection.
 */
import { deflateRawSync } from "node:zlib";
import type { Publication } from "../ports/broker.ts";
import type { Protocol } from "../ports/protocol.ts";

const DEFLATED_BYTES_MIN = 1024;

/** What of the deflated is kept for those who get the same publication apart from the topic, or catch up with it a moment later. */
const KEPT_BYTES_MAX = 1024 * 1024;

/** `inner` must frame a publication as text that is the same whatever the epoch. */
export function deflatedProtocol(inner: Protocol): Protocol {
  const kept = new RecentFrames();
  return {
    ...inner,
    form: `${inner.form}-deflate`,
    framer(channel) {
      const frameOf = inner.framer(channel);
      return (publication, epoch) => {
        const known = kept.get(publication);
        if (known !== undefined) return known;
        const text = frameOf(publication, epoch);
        if (text.length * 3 < DEFLATED_BYTES_MIN) return text;
        const bytes = Buffer.from(text as string);
        if (bytes.length < DEFLATED_BYTES_MIN) return text;
        const deflated = deflateRawSync(bytes);
        kept.add(publication, deflated, bytes.length);
        return deflated;
      };
    },
  };
}

/** The last frames made, as far as the publications they stand for fit into the budget. */
class RecentFrames {
  readonly #frames = new Map<Publication, { readonly frame: Uint8Array; readonly weight: number }>();
  #weight = 0;

  get(publication: Publication): Uint8Array | undefined {
    return this.#frames.get(publication)?.frame;
  }

  add(publication: Publication, frame: Uint8Array, inflatedBytes: number): void {
    const weight = frame.length + inflatedBytes;
    this.#frames.set(publication, { frame, weight });
    this.#weight += weight;
    for (const [oldest, entry] of this.#frames) {
      if (this.#weight <= KEPT_BYTES_MAX) return;
      this.#frames.delete(oldest);
      this.#weight -= entry.weight;
    }
  }
}
