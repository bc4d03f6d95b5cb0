/**
 * What the broker has in memory and in the database, and the moves that keep the two in step: a first group of methods runs inside
 * the transaction and touches the database, a second runs after the commit and touches memory.
 */
import type { Database } from "bun:sqlite";
import { newEpoch } from "../../base/ids.ts";
import type { Draft, Publication } from "../../ports/broker.ts";
import type { EngineSettings } from "../../ports/engine.ts";
import { IdempotencyKeys } from "../idempotency.ts";
import type { Housekeeping } from "./committer.ts";
import { DeadRows } from "./dead-rows.ts";
import { HotBodies } from "./hot-bodies.ts";
import { type BrokerStatements, prepareBroker } from "./schema.ts";
import { Vacancies } from "../vacancies.ts";
import { StoredChannel } from "./stored-channel.ts";

/**
 * So many rows are deleted together. A full history drops a row for every one it takes, and a statement and a page more in each
 * transaction would double what a publish costs.
 */
const DEAD_ROWS_DUE = 256;

/** Fewer than that are deleted after this time, so that what was cleared does not lie around. */
const DEAD_ROWS_AGE_MS = 60_000;

/** Rows waiting for their deletion beyond which it gets transactions of its own. */
const DEAD_ROWS_PRESSING = 20_000;

/** Columns of `readPublication`. */
type PublicationRow = [
  offset: number,
  time: number,
  data: string,
  name: string | null,
  user: string | null,
  session: string | null,
  exclude: string | null,
  encoding: "base64" | null,
];

export function publicationOf(row: readonly unknown[]): Publication {
  const [offset, time, data, name, user, session, exclude, encoding] = row as PublicationRow;
  return {
    offset,
    time,
    data,
    encoding: encoding ?? undefined,
    name: name ?? undefined,
    user: user ?? undefined,
    session: session ?? undefined,
    exclude: exclude ?? undefined,
  };
}

export class Shelf implements Housekeeping {
  readonly channels = new Map<string, StoredChannel>();
  readonly vacancies = new Vacancies(newEpoch());
  /** Those that will not be kept: their numbering begins at 0 after every restart, so their epoch must not be known then. */
  readonly #unkeptVacancies = new Vacancies(newEpoch());
  readonly keys: IdempotencyKeys;
  readonly dead = new DeadRows();
  readonly hot: HotBodies;
  /** The ids that come next. Those of a transaction that failed are left out. */
  nextChannel = 1;
  nextRow = 1;
  nextKey = 1;

  readonly #trimmed = (row: number, body: Publication | null): void => {
    // Row 0: its retention kept nothing, it was never written.
    if (row === 0) return;
    this.dead.add(row);
    if (body !== null) this.hot.dropped(body);
  };
  /** Channels whose row has to say again what it says: their last publication is about to be deleted. */
  readonly #changed = new Set<StoredChannel>();
  #staged: StoredChannel[] = [];
  /** Channels to be deleted with the next transaction, as they stand there. */
  #takenOut: { readonly id: number; readonly epoch: string; readonly top: number }[] = [];
  #deadKey = 0;
  #keptHouseAt = 0;
  /** The origin before this transaction, if the transaction changes it. */
  #originBefore: string | undefined;

  #statements: BrokerStatements | undefined;

  constructor(
    readonly settings: EngineSettings,
    hotBytesMax: number,
  ) {
    this.keys = new IdempotencyKeys(settings.idempotencyMs, settings.idempotencyBytesMax);
    this.hot = new HotBodies(hotBytesMax);
  }

  /** From now on it can write; until then it is filled from a connection that only reads. */
  connect(database: Database): void {
    this.#statements = prepareBroker(database);
  }

  private get statements(): BrokerStatements {
    if (this.#statements === undefined) throw new Error("the shelf is not connected to a database");
    return this.#statements;
  }

  open(name: string, now: number): StoredChannel {
    let channel = this.channels.get(name);
    if (channel === undefined) {
      const { epoch } = this.vacanciesOf(name).positionOf(name);
      channel = new StoredChannel(name, epoch, now);
      channel.subscribed = this.unfollow(name);
      this.channels.set(name, channel);
    }
    return channel;
  }

  vacanciesOf(name: string): Vacancies {
    return this.settings.retentionOf(name).size === 0 ? this.#unkeptVacancies : this.vacancies;
  }

  /** Returns whether it was followed. The retention may have changed since then, so both are asked. */
  unfollow(name: string): boolean {
    const followed = this.vacancies.unfollow(name);
    return this.#unkeptVacancies.unfollow(name) || followed;
  }

  isForgettable(channel: StoredChannel, now: number): boolean {
    return !channel.subscribed && channel.kept === 0 && channel.usedAt + this.settings.positionTtlMs <= now;
  }

  // At start

  /** Takes a row of the database into the history of its channel. */
  take(channel: StoredChannel, offset: number, time: number, row: number): void {
    if (channel.top === 0) channel.top = offset - 1;
    // What is kept has no holes: after one, only what follows it counts.
    if (offset !== channel.top + 1) this.raise(channel, offset - 1);
    channel.append(offset, time, row, null);
  }

  /** The numbering went further than the rows that are left. */
  raise(channel: StoredChannel, top: number): void {
    channel.dropTo(channel.top, this.#trimmed);
    channel.top = top;
  }

  /** Brings a body back into memory. */
  warm(channel: StoredChannel, body: Publication): void {
    channel.setBody(body.offset, body);
    this.hot.add(channel, body.offset, body);
  }

  // Inside the transaction

  insert(channel: StoredChannel, offset: number, time: number, draft: Draft): number {
    this.store(channel);
    const row = this.nextRow;
    const { data, encoding, name, user, session, exclude } = draft;
    this.statements.insertPublication.run(
      row,
      channel.id,
      offset,
      time,
      data,
      name ?? null,
      user ?? null,
      session ?? null,
      exclude ?? null,
      encoding ?? null,
    );
    this.nextRow = row + 1;
    return row;
  }

  insertKey(channel: string, key: string, digest: string, epoch: string, offset: number, time: number): void {
    const row = this.nextKey;
    this.statements.insertKey.run(row, channel, key, digest, epoch, offset, time);
    this.nextKey = row + 1;
    this.keys.add(channel, key, { digest, epoch, offset, time, row });
  }

  /** Gives the channel its row, if it has none yet. */
  store(channel: StoredChannel): void {
    if (channel.id !== 0) return;
    const { name, epoch, staged, floor, previous, usedAt } = channel;
    const id = this.nextChannel;
    this.statements.insertChannel.run(
      id,
      name,
      epoch,
      staged,
      floor,
      previous?.epoch ?? null,
      previous?.offset ?? null,
      usedAt,
    );
    this.nextChannel = id + 1;
    channel.id = id;
    this.#staged.push(channel);
  }

  /** Brings the row of the channel up to date. */
  write(channel: StoredChannel): void {
    const { staged, floor, usedAt, id } = channel;
    if (id !== 0) this.statements.updateChannel.run(staged, floor, usedAt, id);
  }

  /** Deletes the numbering; `remember` takes it back if the transaction fails. */
  forget(channel: StoredChannel): void {
    if (channel.id !== 0) this.statements.deleteChannel.run(channel.id);
    this.statements.deletePositions.run(channel.name);
    this.channels.delete(channel.name);
    this.#renewOrigin({ epoch: channel.epoch, top: channel.staged });

    this.#changed.delete(channel);
  }

  #renewOrigin(forgotten: { readonly epoch: string; readonly top: number }): void {
    this.#unkeptVacancies.renew(forgotten, newEpoch);
    const { origin } = this.vacancies;
    if (!this.vacancies.renew(forgotten, newEpoch)) return;
    this.#originBefore ??= origin;
    this.statements.setMeta.run("origin", this.vacancies.origin);
  }

  remember(channel: StoredChannel): void {
    this.channels.set(channel.name, channel);
    if (channel.id !== 0) this.#changed.add(channel);
  }

  /**
   * A channel that the configuration has stopped keeping goes on in memory alone, in a new epoch: its row could not follow
   * its numbering, and after a restart the same offsets would be given out again.
   */
  takeOut(channel: StoredChannel): void {
    // Opened by what is not numbered, a channel has no row yet, but an epoch that is known after a restart.
    if (channel.id === 0 && channel.epoch !== this.vacancies.origin) return;
    if (channel.id !== 0) this.#takenOut.push({ id: channel.id, epoch: channel.epoch, top: channel.staged });
    this.#changed.delete(channel);
    channel.dropTo(channel.top, this.#trimmed);
    channel.previous = channel.position;
    channel.epoch = newEpoch();
    channel.id = 0;
  }

  // After the commit

  append(channel: StoredChannel, row: number, publication: Publication): void {
    channel.append(publication.offset, publication.time, row, publication);
    if (row !== 0) this.hot.add(channel, publication.offset, publication);
    this.trim(channel, publication.time);
  }

  trim(channel: StoredChannel, now: number): void {
    const { kept } = channel;
    if (kept === 0) return;
    channel.trim(this.settings.retentionOf(channel.name), now, this.#trimmed);
    if (channel.kept === 0 && channel.id !== 0) this.#changed.add(channel);
  }

  clear(channel: StoredChannel, upTo: number): void {
    channel.dropTo(upTo, this.#trimmed);
  }

  /** The body of a publication that is kept, but not in memory. */
  load(channel: StoredChannel, offset: number): Publication {
    const row = this.statements.readPublication.values(channel.rowOf(offset))[0];
    if (row === undefined) throw new Error(`the publication ${channel.name}#${offset} is not in the database`);
    return publicationOf(row);
  }

  /** At a stop in order: channels that are subscribed now count as used until now. */
  writeAll(now: number): void {
    for (const channel of this.channels.values()) {
      if (channel.subscribed) channel.usedAt = now;
      if (channel.subscribed || this.#changed.has(channel)) this.write(channel);
    }
  }

  // Housekeeping

  get due(): boolean {
    return this.dead.count >= DEAD_ROWS_DUE || this.#takenOut.length > 0;
  }

  get pressing(): boolean {
    return this.dead.count > DEAD_ROWS_PRESSING;
  }

  /** Whether there is anything to do at all. */
  isWaiting(now: number): boolean {
    if (this.due || this.#changed.size > 0 || this.keys.hasExpired(now)) return true;
    return this.dead.count > 0 && now - this.#keptHouseAt >= DEAD_ROWS_AGE_MS;
  }

  stage(now: number, limit: number): void {
    this.#keptHouseAt = now;
    // Before the deletions: a channel must never lose its last row before its top stands elsewhere.
    for (const channel of this.#changed) this.write(channel);
    for (const taken of this.#takenOut) {
      this.statements.deleteChannel.run(taken.id);
      this.#renewOrigin(taken);
    }
    this.dead.take(limit, (first, last) => this.statements.deletePublications.run(first, last));
    this.#deadKey = Math.max(this.#deadKey, this.keys.expire(now, limit));
    if (this.#deadKey > 0) this.statements.deleteKeys.run(this.#deadKey);
  }

  undo(): void {
    for (const channel of this.#staged) channel.id = 0;
    this.#staged = [];
    if (this.#originBefore !== undefined) this.vacancies.origin = this.#originBefore;
    this.#originBefore = undefined;
  }

  settle(staged: boolean): void {
    this.#staged = [];
    this.#originBefore = undefined;
    if (!staged) return;
    this.#changed.clear();
    this.#takenOut = [];
    this.dead.deleted();
    this.#deadKey = 0;
  }
}
