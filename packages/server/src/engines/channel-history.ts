/**
 * What an engine remembers of one channel: its numbering and the publications it keeps.
 *
 * What is kept always ends at the top and has no holes, so an offset is found by subtraction. Rows, times and bodies stand
 * in three arrays instead of one array of objects: an entry whose body is on disk costs 24 bytes, and the sqlite engine holds
 * one for every publication it keeps.
 */
import type { Position } from "@longwire/protocol";
import { entryBytes, type HistoryPage, type HistoryQuery, type Publication, type Retention } from "../ports/broker.ts";

/** Told of each publication that leaves the history: its row in the store and its body, if that was in memory. */
export type Dropped = (row: number, body: Publication | null) => void;

/** Leaves this many dead slots at the front of the arrays before they are cut off, so that a trim costs O(1) on average. */
const SLACK_MIN = 64;

export class ChannelHistory {
  /** Offset of the newest publication. */
  top = 0;
  /** The epoch before this one and how far it is known: its positions up to there are positions of this epoch too. */
  previous: Position | undefined;
  subscribed = false;
  /** When it was last published or subscribed to; a channel unused for long is forgotten. */
  usedAt: number;

  #head = 0;
  #rows: number[] = [];
  #times: number[] = [];
  #bodies: (Publication | null)[] = [];

  constructor(
    readonly name: string,
    public epoch: string,
    now: number,
  ) {
    this.usedAt = now;
  }

  get position(): Position {
    return { epoch: this.epoch, offset: this.top };
  }

  /** How many publications are kept. */
  get kept(): number {
    return this.#bodies.length - this.#head;
  }

  /** When the newest publication that is kept was made; 0 if there is none. */
  get newestTime(): number {
    return this.kept === 0 ? 0 : (this.#times.at(-1) as number);
  }

  /** Offset of the oldest publication that is kept; `top + 1` if there is none. */
  get first(): number {
    return this.top - this.kept + 1;
  }

  /** Keeps the next publication; `offset` must be `top + 1`. `row`: where the store has it. */
  append(offset: number, time: number, row: number, body: Publication | null): void {
    this.top = offset;
    this.#rows.push(row);
    this.#times.push(time);
    this.#bodies.push(body);
  }

  /** Drops what the retention does not allow any more. */
  trim(retention: Retention, now: number, dropped?: Dropped): void {
    const expired = now - retention.ttlMs;
    let count = Math.max(0, this.kept - retention.size);
    // A publication lives less than its ttl: at exactly the ttl it is gone, in memory as in the store.
    while (count < this.kept && (this.#times[this.#head + count] as number) <= expired) count++;
    if (count > 0) this.#drop(count, dropped);
  }

  /** Drops everything up to and including this offset. */
  dropTo(offset: number, dropped?: Dropped): void {
    const count = Math.min(this.kept, offset - this.first + 1);
    if (count > 0) this.#drop(count, dropped);
  }

  #drop(count: number, dropped: Dropped | undefined): void {
    const end = this.#head + count;
    if (dropped !== undefined) {
      for (let at = this.#head; at < end; at++)
        dropped(this.#rows[at] as number, this.#bodies[at] as Publication | null);
    }
    this.#bodies.fill(null, this.#head, end);
    this.#head = end;
    if (this.#head > SLACK_MIN && this.#head * 2 > this.#bodies.length) {
      this.#rows = this.#rows.slice(this.#head);
      this.#times = this.#times.slice(this.#head);
      this.#bodies = this.#bodies.slice(this.#head);
      this.#head = 0;
    }
  }

  #at(offset: number): number {
    return this.#bodies.length - 1 - (this.top - offset);
  }

  rowOf(offset: number): number {
    return this.#rows[this.#at(offset)] as number;
  }

  /** null: kept, but not in memory. */
  bodyOf(offset: number): Publication | null {
    return this.#bodies[this.#at(offset)] as Publication | null;
  }

  setBody(offset: number, body: Publication | null): void {
    this.#bodies[this.#at(offset)] = body;
  }

  /** The offset in this epoch that the position stands for, or undefined if it belongs to another life or to the future. */
  offsetOf(position: Position): number | undefined {
    if (position.epoch === this.epoch) return position.offset <= this.top ? position.offset : undefined;
    const { previous } = this;
    if (previous === undefined || position.epoch !== previous.epoch) return undefined;
    return position.offset <= previous.offset ? position.offset : undefined;
  }
}

/** Offsets from `start` on, `count` of them, upwards or downwards. */
interface Span {
  readonly start: number;
  readonly count: number;
}

const NOTHING: Span = { start: 0, count: 0 };

/** What lies in the direction asked; undefined where `from` cannot be reached. */
function spanOf(channel: ChannelHistory, query: HistoryQuery): Span | undefined {
  const { first, top, kept } = channel;
  const { from } = query;
  const reverse = query.reverse === true;
  if (from === "earliest") return reverse ? NOTHING : { start: first, count: kept };
  if (from === "latest") return reverse ? { start: top, count: kept } : NOTHING;
  const offset = channel.offsetOf(from);
  if (offset === undefined) return undefined;
  if (reverse) {
    if (offset <= 1) return NOTHING;
    return offset - 1 < first ? undefined : { start: offset - 1, count: offset - first };
  }
  return offset + 1 < first ? undefined : { start: offset + 1, count: top - offset };
}

/** Answers a history query. `load` brings the body of an offset that is not in memory. */
export function readHistory(
  channel: ChannelHistory,
  query: HistoryQuery,
  load: (channel: ChannelHistory, offset: number) => Publication,
): HistoryPage {
  const span = spanOf(channel, query);
  if (span === undefined) return { top: channel.position, reached: false, publications: [], more: false };
  const step = query.reverse === true ? -1 : 1;
  const count = Math.min(span.count, query.limit);
  const publications: Publication[] = [];
  let bytes = 0;
  for (let index = 0; index < count; index++) {
    const offset = span.start + index * step;
    const body = channel.bodyOf(offset) ?? load(channel, offset);
    bytes += entryBytes(body);
    if (bytes > query.bytesMax && index > 0) break;
    publications.push(body);
  }
  return { top: channel.position, reached: true, publications, more: publications.length < span.count };
}
