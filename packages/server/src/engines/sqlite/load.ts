/** Reading the database into memory at start: the only time it is read from one end to the other. */
import type { Database } from "bun:sqlite";
import { newEpoch } from "../../base/ids.ts";
import { publicationOf, type Shelf } from "./shelf.ts";
import { StoredChannel } from "./stored-channel.ts";

/** Rows read at a time. */
const ROWS_STEP = 20_000;

/** Bodies read at a time: they may be large. */
const BODIES_STEP = 500;

/** After a restart a channel is not forgotten before its subscribers had this long to come back. */
const GRACE_MS = 3_600_000;

export type Meta = ReadonlyMap<string, string>;

/** What the last run left behind, and what this one has to write before it goes on. */
export interface Loaded {
  /** Channels that begin a new epoch. */
  readonly renewed: readonly StoredChannel[];
  /** Ids of channels that the configuration does not keep any more. */
  readonly unkept: readonly number[];
}

type ChannelRow = [
  id: number,
  name: string,
  epoch: string,
  top: number,
  floor: number,
  previousEpoch: string | null,
  previousTop: number | null,
  usedAt: number,
];

export function readMeta(database: Database): Meta {
  return new Map(database.prepare("SELECT key, value FROM meta").values() as [string, string][]);
}

/** `renew`: the end of what was numbered may be missing, so every channel begins a new epoch, linked to its old one. */
export function loadShelf(database: Database, shelf: Shelf, renew: boolean, now: number): Loaded {
  const byId = new Map<number, StoredChannel>();
  const origin = readMeta(database).get("origin");
  // If the end is missing, so may be channels that were first published to in it.
  if (origin !== undefined && !renew) shelf.vacancies.origin = origin;
  const unkept = loadChannels(database, shelf, byId, now);
  loadPublications(database, shelf, byId, now);
  loadKeys(database, shelf, now);
  const renewed: StoredChannel[] = [];
  for (const channel of byId.values()) {
    channel.staged = channel.top;
    shelf.trim(channel, now);
    if (!renew) continue;
    channel.previous = channel.position;
    channel.epoch = newEpoch();
    renewed.push(channel);
  }
  loadBodies(database, shelf, byId);
  return { renewed, unkept };
}

function loadChannels(database: Database, shelf: Shelf, byId: Map<number, StoredChannel>, now: number): number[] {
  const unkept: number[] = [];
  const { positionTtlMs } = shelf.settings;
  const usedAtMin = now - positionTtlMs + Math.min(positionTtlMs, GRACE_MS);
  for (const row of database.prepare("SELECT * FROM channels ORDER BY id").values() as ChannelRow[]) {
    const [id, name, epoch, top, floor, previousEpoch, previousTop, usedAt] = row;
    shelf.nextChannel = id + 1;
    if (shelf.settings.retentionOf(name).size === 0) {
      unkept.push(id);
      shelf.vacancies.renew({ epoch, top: 1 }, newEpoch);
      continue;
    }
    const channel = new StoredChannel(name, epoch, Math.max(usedAt, usedAtMin));
    channel.id = id;
    channel.floor = floor;
    // Until its rows are read, `top` is where they must follow; the stored top takes its place afterwards.
    channel.staged = top;
    if (previousEpoch !== null) channel.previous = { epoch: previousEpoch, offset: previousTop ?? 0 };
    shelf.channels.set(name, channel);
    byId.set(id, channel);
  }
  return unkept;
}

function loadPublications(
  database: Database,
  shelf: Shelf,
  byId: ReadonlyMap<number, StoredChannel>,
  now: number,
): void {
  const step = database.prepare(
    `SELECT id, channel, offset, time FROM publications WHERE id > ? ORDER BY id LIMIT ${ROWS_STEP}`,
  );
  for (;;) {
    const rows = step.values(shelf.nextRow - 1) as [number, number, number, number][];
    for (const [row, id, offset, time] of rows) {
      shelf.nextRow = row + 1;
      // Ids of forgotten channels are not given out again while rows of theirs are left.
      shelf.nextChannel = Math.max(shelf.nextChannel, id + 1);
      const channel = byId.get(id);
      if (channel === undefined || offset <= channel.floor) shelf.dead.add(row);
      else shelf.take(channel, offset, time, row);
    }
    if (rows.length < ROWS_STEP) break;
  }
  for (const channel of byId.values()) {
    if (channel.staged > channel.top) shelf.raise(channel, channel.staged);
    channel.usedAt = Math.max(channel.usedAt, Math.min(channel.newestTime, now));
  }
}

function loadKeys(database: Database, shelf: Shelf, now: number): void {
  const rows = database.prepare("SELECT id, channel, key, digest, epoch, offset, time FROM keys ORDER BY id").values();
  for (const row of rows as [number, string, string, string, string, number, number][]) {
    const [id, channel, key, digest, epoch, offset, time] = row;
    shelf.nextKey = id + 1;
    // A clock that was set back must not keep a key for longer than its window.
    shelf.keys.add(channel, key, { digest, epoch, offset, time: Math.min(time, now), row: id });
  }
}

/** The newest bodies as far as memory goes: after a restart everybody comes back at once and asks for them. */
function loadBodies(database: Database, shelf: Shelf, byId: ReadonlyMap<number, StoredChannel>): void {
  const step = database.prepare(
    `SELECT id, channel, offset, time, data, name, user, session, exclude, encoding FROM publications
     WHERE id < ? ORDER BY id DESC LIMIT ${BODIES_STEP}`,
  );
  const found: (() => void)[] = [];
  let bytes = 0;
  let before = shelf.nextRow;
  while (bytes < shelf.hot.bytesMax) {
    const rows = step.values(before);
    for (const row of rows) {
      const [id, channelId, ...rest] = row as [number, number, ...unknown[]];
      before = id;
      const channel = byId.get(channelId);
      const body = publicationOf(rest);
      if (channel === undefined || body.offset < channel.first) continue;
      bytes += body.data.length;
      found.push(() => shelf.warm(channel, body));
    }
    if (rows.length < BODIES_STEP) break;
  }
  // Oldest first: that is the order in which they go again.
  for (const warm of found.toReversed()) warm();
}
