/**
 * Reads the history of a channel out of its stream.
 *
 * The numbering is read first, then entries in steps, as many as are likely to fit. Others publish and trim meanwhile: what is newer than the top that was read
 * is left out, and what is missing at the start means that it is not reached; so the page is one that was true at some moment.
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
import { LOOK } from "./scripts.ts";

const FIRST_STEP = 16;
const STEP_MAX = 500;

/** What Redis knows of a channel. */
export interface Look {
  readonly top: Position;
  /** Up to which offset positions of earlier epochs are good. */
  readonly before: ReadonlyMap<string, number>;
  /** By Redis's clock. */
  readonly now: number;
  readonly kept: number;
  readonly isNumbered: boolean;
}

export async function look(link: Link, keys: ChannelKeys, retention: Retention, positionTtlMs: number): Promise<Look> {
  const answer = await link.run(
    LOOK,
    [keys.meta, keys.origin, keys.stream],
    [newEpoch(), String(positionTtlMs), String(retention.ttlMs)],
  );
  const [epoch, top, before, now, length, numbered] = answer as [string, number, string, number, number, number];
  return {
    top: { epoch, offset: top },
    before: epochsOf(before),
    now,
    kept: Math.min(length, retention.size),
    isNumbered: numbered === 1,
  };
}

function epochsOf(list: string): Map<string, number> {
  const words = list.split(" ").filter((word) => word !== "");
  return new Map(words.map((word) => [word.slice(0, word.indexOf(":")), Number(word.slice(word.indexOf(":") + 1))]));
}

export async function readHistory(
  link: Link,
  keys: ChannelKeys,
  retention: Retention,
  positionTtlMs: number,
  query: HistoryQuery,
): Promise<HistoryPage> {
  const seen = await look(link, keys, retention, positionTtlMs);
  const { top } = seen;
  const start = startOf(seen, retention, query);
  if (start === "unreached") return { top, reached: false, publications: [], more: false };
  if (start === "nothing") return { top, reached: true, publications: [], more: false };
  const reader = new PageReader(link, keys.stream, seen, retention, query);
  const page = await reader.read(start);
  const first = page.publications[0]?.offset;
  // From either end whatever is first is the start.
  if (typeof query.from !== "string" && first !== start) return { top, reached: false, publications: [], more: false };
  return { top, reached: true, ...page };
}

/** The offset of the first publication that is asked for. */
function startOf({ top, before }: Look, { size }: Retention, query: HistoryQuery): number | "nothing" | "unreached" {
  const { from, reverse = false } = query;
  const floor = Math.max(1, top.offset - size + 1);
  if (from === "earliest") return reverse || floor > top.offset ? "nothing" : floor;
  if (from === "latest") return reverse && floor <= top.offset ? top.offset : "nothing";
  const last = from.epoch === top.epoch ? top.offset : before.get(from.epoch);
  if (last === undefined || from.offset > last) return "unreached";
  if (reverse && from.offset <= 1) return "nothing";
  const start = reverse ? from.offset - 1 : from.offset + 1;
  if (start > top.offset) return "nothing";
  return start < floor ? "unreached" : start;
}

class PageReader {
  readonly #publications: Publication[] = [];
  #bytes = 0;
  readonly #floor: number;

  constructor(
    private readonly link: Link,
    private readonly stream: string,
    private readonly seen: Look,
    private readonly retention: Retention,
    private readonly query: HistoryQuery,
  ) {
    this.#floor = Math.max(1, seen.top.offset - retention.size + 1);
  }

  async read(start: number): Promise<{ publications: Publication[]; more: boolean }> {
    const publications = this.#publications;
    const step = this.query.reverse === true ? -1 : 1;
    let next = start;
    for (;;) {
      const count = this.#stepSize();
      const entries = await this.#entries(next, count);
      for (const publication of entries) {
        const { offset } = publication;
        if (offset > this.seen.top.offset || this.#isGone(publication)) continue;
        // Trimmed by another between two steps.
        if (publications.length > 0 && offset !== next) return { publications, more: step > 0 };
        if (!this.#take(publication)) return { publications, more: true };
        next = offset + step;
      }
      if (entries.length < count || next > this.seen.top.offset || next < this.#floor) break;
    }
    return { publications, more: step > 0 && publications.length > 0 && next <= this.seen.top.offset };
  }

  /** False where it does not belong to the page any more. */
  #take(publication: Publication): boolean {
    const publications = this.#publications;
    if (publications.length >= this.query.limit) return false;
    this.#bytes += entryBytes(publication);
    if (this.#bytes > this.query.bytesMax && publications.length > 0) return false;
    publications.push(publication);
    return true;
  }

  /** One more than is wanted, to know whether there is more. */
  #stepSize(): number {
    const { limit, bytesMax } = this.query;
    const count = this.#publications.length;
    const wanted = limit - count + 1;
    if (count === 0) return Math.min(wanted, FIRST_STEP);
    const fitting = Math.ceil((bytesMax - this.#bytes) / (this.#bytes / count)) + 1;
    return Math.max(1, Math.min(wanted, fitting, STEP_MAX));
  }

  #isGone({ offset, time }: Publication): boolean {
    return offset < this.#floor || time <= this.seen.now - this.retention.ttlMs;
  }

  async #entries(from: number, count: number): Promise<Publication[]> {
    const range =
      this.query.reverse === true
        ? ["XREVRANGE", this.stream, String(from), "-"]
        : ["XRANGE", this.stream, String(from), "+"];
    const answer = await this.link.call(this.stream, [...range, "COUNT", String(count)]);
    return (answer as [string, [string, string]][]).map(
      ([id, [, body]]) => readBody(Number.parseInt(id, 10), body).publication,
    );
  }
}
