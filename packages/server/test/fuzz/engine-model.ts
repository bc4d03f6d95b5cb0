/**
 * What must be true of a broker on disk, in plain maps; `engine.slow.ts` drives an engine beside it.
 *
 * A line is the present life of a channel's numbering. The model does not foresee what an engine may decide by itself (when
 * to trim, to forget, to begin an epoch): it knows what is allowed, takes over what it sees, and throws at the first thing
 * that cannot be. Names outlive everything: one (epoch, offset) of a channel is one publication for ever.
 */
import type { Position } from "@longwire/protocol";
import {
  type BrokerChannel,
  type Draft,
  entryBytes,
  type HistoryPage,
  type HistoryQuery,
  type Publication,
  type Published,
  type Retention,
} from "../../src/ports/broker.ts";

/** What an engine grants the subscribers of a channel after a restart, before its numbering may be forgotten. */
const GRACE_MS = 3_600_000;

/** How much a restart lost: nothing, what was not answered yet, or the end of what was written. */
export type Loss = "nothing" | "pending" | "end";

interface Entry {
  readonly data: string;
  readonly name: string | undefined;
  readonly time: number;
}

interface Answer {
  readonly draft: Draft;
  readonly published: Published;
  readonly time: number;
}

class Line {
  /** undefined: not told yet. */
  epoch: string | undefined;
  top = 0;
  /** The epoch before, up to where its positions are good in this one. "unknown": the engine may know one. */
  previous: Position | "unknown" | undefined;
  /** What is known of the publications up to `top`; a missing one is taken over when it is seen. */
  entries = new Map<number, Entry>();
  /** Publications from here on must be kept. */
  sure = 1;
  /** Those up to here have been cleared. */
  floor = 0;
  usedAt: number;
  subscribed = false;
  /** Whether the retention keeps anything, and whether that has changed since a subscriber was told the epoch. */
  kept: boolean | undefined;
  flipped = false;
  /** false: numbered in memory alone, since the retention keeps nothing. */
  stored = true;
  /** The numbering may have been forgotten. */
  mayRenew = false;
  /** A transaction with a publication that only memory would have kept has failed: its epoch may have begun all the same. */
  mayLeave = false;
  readonly names = new Map<string, Map<number, string>>();
  /** Everything that was ever handed in for the channel. */
  readonly said = new Set<string>();

  constructor(
    readonly channel: string,
    now: number,
  ) {
    this.usedAt = now;
  }

  check(good: boolean, what: string): void {
    if (good) return;
    const { channel, epoch, top, sure, floor, stored, previous, subscribed, mayRenew } = this;
    throw new Error(
      `${channel}: ${what} (${JSON.stringify({ epoch, top, sure, floor, stored, previous, subscribed, mayRenew })})`,
    );
  }

  give(epoch: string, offset: number, data: string): void {
    const named = this.names.get(epoch) ?? new Map<number, string>();
    this.names.set(epoch, named);
    const known = named.get(offset);
    this.check(known === undefined || known === data, `${epoch}#${offset} names two publications`);
    named.set(offset, data);
  }

  highest(epoch: string): number {
    return Math.max(0, ...(this.names.get(epoch)?.keys() ?? []));
  }

  begin(epoch: string | undefined, top: number, previous: Line["previous"]): void {
    this.epoch = epoch;
    this.top = top;
    this.previous = previous;
    this.entries = new Map();
    this.sure = top + 1;
    this.floor = 0;
    this.mayRenew = false;
    this.mayLeave = false;
    this.stored = true;
  }
}

export class BrokerModel {
  readonly lines = new Map<string, Line>();
  readonly #answers = new Map<string, Answer>();
  /** Keys whose first publish may have been kept, or may be lost. */
  readonly #unsure = new Set<string>();

  constructor(
    readonly channels: readonly string[],
    readonly retentionOf: (channel: string) => Retention,
    readonly idempotencyMs: number,
    readonly positionTtlMs: number,
    now: number,
  ) {
    for (const channel of channels) this.lines.set(channel, new Line(channel, now));
  }

  line(channel: string): Line {
    const line = this.lines.get(channel);
    if (line === undefined) throw new Error(`${channel} is not in the model`);
    return line;
  }

  /** After time has gone by, and on both sides of a change of the retention. Returns channels whose numbering may be forgotten. */
  pass(now: number): string[] {
    const leaving: string[] = [];
    for (const line of this.lines.values()) {
      const kept = this.retentionOf(line.channel).size > 0;
      if (kept !== line.kept) line.flipped = true;
      line.kept = kept;
      this.#trim(line, now);
      const unused = !line.subscribed && line.sure > line.top && line.usedAt + this.positionTtlMs <= now;
      if (unused) line.mayRenew = true;
      if (line.mayRenew) leaving.push(line.channel);
    }
    return leaving;
  }

  #trim(line: Line, now: number): void {
    const { size, ttlMs } = this.retentionOf(line.channel);
    let sure = Math.max(line.sure, line.floor + 1, line.top - size + 1);
    while (sure <= line.top && (line.entries.get(sure)?.time ?? 0) + ttlMs <= now) sure++;
    line.sure = sure;
  }

  /** The first offset that may be shown. */
  #first(line: Line, now: number): number {
    const { size, ttlMs } = this.retentionOf(line.channel);
    let first = Math.max(1, line.floor + 1, line.top - size + 1);
    while (first <= line.top && (line.entries.get(first)?.time ?? Infinity) + ttlMs <= now) first++;
    return first;
  }

  /** The engine has said where the channel stands. `numbers`: a publication that only memory keeps comes next. */
  #see(line: Line, { epoch, offset }: Position, numbers = false): void {
    if (line.epoch === epoch || line.epoch === undefined) {
      line.check(offset === line.top, `the top is ${offset}`);
    } else if (line.mayRenew && offset === 0) {
      line.begin(epoch, 0, undefined);
    } else if (((numbers && (line.stored || offset === 0)) || line.mayLeave) && offset === line.top) {
      // A position before the first publication may be good in the next epoch or not.
      line.previous = offset === 0 ? "unknown" : { epoch: line.epoch, offset };
      line.sure = offset + 1;
      line.mayLeave = false;
      line.stored = false;
    } else {
      line.check(
        line.top === 0 && offset === 0 && (!line.subscribed || line.flipped),
        `another epoch: ${epoch} at ${offset}`,
      );
      line.previous = "unknown";
    }
    line.epoch = epoch;
    line.check(line.highest(epoch) <= offset, `${epoch} begins again after ${offset}`);
  }

  subscribed(channel: string, top: Position): void {
    const line = this.line(channel);
    this.#see(line, top);
    line.subscribed = true;
    line.flipped = false;
  }

  unsubscribed(channel: string, now: number): void {
    const line = this.line(channel);
    line.subscribed = false;
    line.usedAt = now;
  }

  cleared(channel: string): void {
    const line = this.line(channel);
    line.floor = line.top;
    line.sure = line.top + 1;
  }

  /** Its transaction may have failed. */
  failed(channel: string): void {
    const line = this.line(channel);
    if (this.retentionOf(channel).size > 0) return;
    line.mayLeave = true;
  }

  /** What a publish must be answered: the first answer, a conflict, or undefined for anything new. */
  known(channel: string, draft: Draft, now: number): Published | "conflict" | "unsure" | undefined {
    if (draft.key === undefined) return undefined;
    const key = `${channel}\n${draft.key}`;
    if (this.#unsure.has(key)) return "unsure";
    const answer = this.#answers.get(key);
    if (answer === undefined || answer.time + this.idempotencyMs <= now) return undefined;
    if (answer.draft.data !== draft.data || answer.draft.name !== draft.name) return "conflict";
    return { ...answer.published, repeated: true };
  }

  /** The answer to a publish; returns what subscribers must have got, or undefined. */
  published(channel: string, draft: Draft, published: Published, now: number): Publication | undefined {
    const line = this.line(channel);
    const known = this.known(channel, draft, now);
    const { epoch, offset, repeated } = published;
    line.check(known !== "conflict", `the key ${draft.key} was used for something else`);
    if (repeated) {
      line.check(known !== undefined, "a repetition of nothing");
      if (typeof known === "object") {
        line.check(Bun.deepEquals(known, published), `${offset} is not the first answer ${known.offset}`);
      } else if (draft.keep) line.give(epoch, offset, draft.data);
      return undefined;
    }
    line.check(typeof known !== "object", `the key ${draft.key} was known`);
    this.#number(line, draft, published, now);
    if (draft.key !== undefined) {
      this.#unsure.delete(`${channel}\n${draft.key}`);
      this.#answers.set(`${channel}\n${draft.key}`, { draft, published, time: now });
    }
    const { data, encoding, name, user, session, exclude, keep } = draft;
    return { offset: keep ? offset : 0, time: now, data, encoding, name, user, session, exclude };
  }

  #number(line: Line, draft: Draft, { epoch, offset }: Position, now: number): void {
    const { keep, data, name } = draft;
    const inMemory = keep && this.retentionOf(line.channel).size === 0;
    this.#see(line, { epoch, offset: keep ? offset - 1 : offset }, inMemory);
    line.usedAt = now;
    line.mayRenew = false;
    if (!keep) return;
    line.give(epoch, offset, data);
    line.top = offset;
    line.entries.set(offset, { data, name, time: now });
    line.stored = !inMemory;
    this.#trim(line, now);
  }

  /** The sink has it: whoever was subscribed may hold this position. */
  delivered(channel: string, epoch: string, { offset, data }: Publication): void {
    if (offset > 0) this.line(channel).give(epoch, offset, data);
  }

  listed(list: readonly BrokerChannel[], now: number): void {
    const byName = new Map(list.map((one) => [one.channel, one]));
    for (const line of this.lines.values()) {
      const one = byName.get(line.channel);
      if (one === undefined) {
        line.check(line.top === 0 || line.mayRenew, "is not known any more");
        continue;
      }
      const { mayRenew } = line;
      this.#see(line, one.top);
      line.mayRenew = mayRenew;
      this.#trim(line, now);
      line.check(one.kept >= line.top - line.sure + 1, `only ${one.kept} are kept`);
      line.check(one.kept <= Math.max(0, line.top - this.#first(line, now) + 1), `${one.kept} are kept`);
    }
  }

  history(channel: string, query: HistoryQuery, page: HistoryPage, now: number): void {
    const line = this.line(channel);
    this.#see(line, page.top);
    line.usedAt = now;
    line.mayRenew = false;
    this.#trim(line, now);
    const first = Math.min(this.#first(line, now), line.sure);
    const { from, reverse = false } = query;
    const { publications } = page;
    if (typeof from === "string") {
      line.check(page.reached, `${from} was not reached`);
      const toFar = (from === "earliest") === reverse;
      if (toFar) line.check(publications.length === 0 && !page.more, `something beyond ${from}`);
      else if (from === "latest")
        this.#run(line, line.top, [line.top - line.sure + 1, line.top - first + 1], query, page);
      else {
        const start = publications[0]?.offset ?? line.top + 1;
        line.check(start >= first && start <= line.sure, `the oldest is ${start} instead of ${first} to ${line.sure}`);
        this.#run(line, start, [line.top - start + 1, line.top - start + 1], query, page);
      }
      return;
    }
    const offset = this.#resolve(line, from, page.reached);
    const next = reverse ? (offset ?? 0) - 1 : (offset ?? 0) + 1;
    const nothing = reverse && offset !== undefined && offset <= 1;
    if (offset === undefined || (next < first && !nothing))
      line.check(!page.reached, `${from.epoch}#${from.offset} was reached`);
    else if (next >= line.sure || nothing) line.check(page.reached, `${from.epoch}#${from.offset} was not reached`);
    if (!page.reached || offset === undefined || nothing) {
      line.check(publications.length === 0 && !page.more, "publications that were not reached");
    } else if (reverse) this.#run(line, next, [Math.max(0, next - line.sure + 1), next - first + 1], query, page);
    else this.#run(line, next, [line.top - offset, line.top - offset], query, page);
  }

  /** The offset that a position stands for. */
  #resolve(line: Line, from: Position, reached: boolean): number | undefined {
    const { previous } = line;
    if (from.epoch === line.epoch) return from.offset <= line.top ? from.offset : undefined;
    const linked = typeof previous === "object" && previous.epoch === from.epoch && from.offset <= previous.offset;
    const maybe = previous === "unknown" && reached;
    if (!linked && !maybe) return undefined;
    line.check(from.offset <= line.top, "a position of an old epoch beyond the top was reached");
    // What the holder of the position has seen must be what this epoch calls so.
    const old = line.names.get(from.epoch);
    for (const [offset, data] of line.names.get(line.epoch ?? "") ?? []) {
      const seen = offset <= from.offset ? old?.get(offset) : undefined;
      line.check(
        seen === undefined || seen === data,
        `${from.epoch}#${offset} is another publication in ${line.epoch}`,
      );
    }
    return from.offset;
  }

  /** Publications from `start` in one direction; between `span[0]` and `span[1]` of them are kept there. */
  #run(line: Line, start: number, span: readonly [number, number], query: HistoryQuery, page: HistoryPage): void {
    const step = query.reverse === true ? -1 : 1;
    const { publications, more, top } = page;
    const [least, most] = span;
    const { length } = publications;
    let bytes = 0;
    for (const [index, publication] of publications.entries()) {
      const { offset, data } = publication;
      line.check(offset === start + index * step, `${offset} instead of ${start + index * step}`);
      this.#entry(line, publication);
      line.give(top.epoch, offset, data);
      bytes += entryBytes(publication);
    }
    line.check(length <= Math.min(query.limit, Math.max(0, most)), `${length} publications`);
    line.check(bytes <= query.bytesMax || length === 1, `${bytes} bytes`);
    if (length < least) line.check(more, `${length} publications of ${least}, and no more`);
    if (length >= most) line.check(!more, `more than the ${most} that are kept`);
    if (length >= Math.min(least, query.limit)) return;
    const missing = line.entries.get(start + length * step);
    const fits = missing !== undefined && bytes + entryBytes({ ...missing, user: undefined }) <= query.bytesMax;
    line.check(length > 0 && !fits, `stopped after ${length} publications and ${bytes} bytes`);
  }

  #entry(line: Line, { offset, data, name, time }: Publication): void {
    const entry = line.entries.get(offset);
    if (entry === undefined) {
      line.check(line.said.has(data), `${offset} was never published`);
      line.entries.set(offset, { data, name, time });
    } else {
      line.check(entry.data === data && entry.name === name && entry.time === time, `${offset} has changed`);
    }
  }

  /**
   * The engine has been opened again. `pending`: what had not been answered, in the order of the calls. `renewed`: every
   * channel must have begun a new epoch.
   */
  restarted(
    loss: Loss,
    renewed: boolean,
    pending: readonly { readonly channel: string; readonly draft?: Draft }[],
    list: readonly BrokerChannel[],
    now: number,
  ): void {
    const byName = new Map(list.map((one) => [one.channel, one.top]));
    for (const { channel, draft } of pending) {
      if (draft?.key !== undefined) this.#unsure.add(`${channel}\n${draft.key}`);
    }
    if (loss === "end") for (const key of this.#answers.keys()) this.#unsure.add(key);
    for (const line of this.lines.values()) {
      const waiting = pending.filter(({ channel }) => channel === line.channel);
      const top = byName.get(line.channel);
      line.subscribed = false;
      line.usedAt = now - this.positionTtlMs + Math.min(this.positionTtlMs, GRACE_MS);
      if (waiting.some(({ draft }) => draft === undefined)) line.sure = line.top + 1;
      this.#reopen(line, top, { loss, renewed, count: waiting.filter(({ draft }) => draft?.keep === true).length });
      this.#trim(line, now);
    }
  }

  #reopen(line: Line, top: Position | undefined, how: { loss: Loss; renewed: boolean; count: number }): void {
    const unkept = this.retentionOf(line.channel).size === 0;
    const { count, loss, renewed } = how;
    if (top !== undefined) line.check(line.highest(top.epoch) <= top.offset, `${top.epoch} goes back to ${top.offset}`);
    if (top !== undefined && renewed) line.check(!line.names.has(top.epoch), `the epoch ${top.epoch} is not new`);
    const lost = loss === "end" || unkept || !line.stored || line.mayLeave || (count > 0 && line.mayRenew);
    if (top === undefined) {
      line.check(lost || line.top === 0 || line.mayRenew, "is gone");
      line.begin(undefined, 0, undefined);
    } else if (lost || line.epoch === undefined) {
      line.check(
        loss === "end" || !line.stored || line.mayRenew || top.offset <= line.top + count,
        `the top is ${top.offset}`,
      );
      line.begin(top.epoch, top.offset, "unknown");
    } else {
      const right = top.offset >= line.top && top.offset <= line.top + count;
      line.check(right, `the top is ${top.offset}`);
      if (top.epoch !== line.epoch) {
        line.check(renewed, `another epoch: ${top.epoch}`);
        line.previous = { epoch: line.epoch, offset: top.offset };
        line.epoch = top.epoch;
      }
      line.top = top.offset;
    }
  }
}
