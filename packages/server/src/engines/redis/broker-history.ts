/**
 * Reads pages of a channel's history. A page is usually one script; where it needs several, others publish and trim in between: the first one says where the top
 * is, and what is gone by the time of a later one is not on the page any more.
 */
import type { Position } from "@longwire/protocol";
import { newEpoch } from "../../base/ids.ts";
import {
  entryBytes,
  type HistoryPage,
  type HistoryQuery,
  type Publication,
  type Retention,
} from "../../ports/broker.ts";
import type { ChannelKeys } from "./keys.ts";
import type { Link } from "./link.ts";
import { readBody } from "./messages.ts";
import { READ } from "./scripts.ts";

/** A page, and what else was seen of the channel. */
export interface Reading extends HistoryPage {
  readonly kept: number;
  /** false: it was never published to, or is forgotten. */
  readonly isNumbered: boolean;
}

/** What one script has found. `start`: offset of the first of `publications`. */
interface Part {
  readonly top: Position;
  readonly first: number;
  readonly isNumbered: boolean;
  readonly reached: boolean;
  readonly publications: readonly Publication[];
}

export async function readHistory(
  link: Link,
  keys: ChannelKeys,
  retention: Retention,
  positionTtlMs: number,
  query: HistoryQuery,
): Promise<Reading> {
  const read = (from: HistoryQuery["from"]): Promise<Part> =>
    readPart(link, keys, retention, positionTtlMs, { ...query, from });
  const part = await read(query.from);
  const { top, first, isNumbered, reached } = part;
  const page = new Page(query);
  // An answer has all that fits by the script's count of bytes, which is not ours.
  let next = part;
  while (page.take(next.publications)) {
    const { last } = page;
    if (last === undefined || (query.reverse === true ? last <= first : last >= top.offset)) break;
    next = await read({ epoch: top.epoch, offset: last });
    // What is kept in another epoch may be other publications under the same offsets.
    if (!next.reached || next.publications.length === 0 || next.top.epoch !== top.epoch) break;
  }
  const { publications, last } = page;
  const more = last !== undefined && (query.reverse === true ? last > first : last < top.offset);
  return { top, reached, publications, more, kept: top.offset - first + 1, isNumbered };
}

class Page {
  readonly publications: Publication[] = [];
  #bytes = 0;

  constructor(private readonly query: HistoryQuery) {}

  get last(): number | undefined {
    return this.publications.at(-1)?.offset;
  }

  /** Returns whether there is room for more. */
  take(publications: readonly Publication[]): boolean {
    const { limit, bytesMax } = this.query;
    for (const publication of publications) {
      if (this.publications.length >= limit) return false;
      this.#bytes += entryBytes(publication);
      if (this.#bytes > bytesMax && this.publications.length > 0) return false;
      this.publications.push(publication);
    }
    return this.publications.length < limit;
  }
}

async function readPart(
  link: Link,
  keys: ChannelKeys,
  { size, ttlMs }: Retention,
  positionTtlMs: number,
  { from, reverse = false, limit, bytesMax }: HistoryQuery,
): Promise<Part> {
  const place = typeof from === "string" ? [from, "", "0"] : ["after", from.epoch, String(from.offset)];
  const args = [newEpoch(), positionTtlMs, size, ttlMs, ...place, reverse ? 1 : 0, limit, bytesMax].map(String);
  const answer = await link.read(READ, [keys.meta, keys.origin, keys.list], args, bytesMax);
  const [epoch, top, first, numbered, start, bodies] = answer as [string, number, number, number, number, string[]];
  return {
    top: { epoch, offset: top },
    first,
    isNumbered: numbered === 1,
    reached: start >= 0,
    publications: bodies.map((body, index) => readBody(reverse ? start - index : start + index, body).publication),
  };
}
