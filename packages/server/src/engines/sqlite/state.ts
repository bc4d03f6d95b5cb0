/**
 * StateStore on SQLite. Its writes join the turn's transaction. Reads look into the database itself; while calls wait for
 * their transaction a read waits behind them, so every call sees the calls before it.
 */
import type { Database } from "bun:sqlite";
import type { Position } from "@longwire/protocol";
import type { Clock } from "../../base/clock.ts";
import { DEVICES_MAX, type StateStore } from "../../ports/state.ts";
import { deviceUserOf, furthest, sumOf } from "../state-rules.ts";
import type { Committer, Task } from "./committer.ts";

const nobodyWaits = (): void => {};

/** Expired keys deleted by one transaction. */
const SWEEP_STEP = 1_000;

const OVERHEAD_BYTES = 200;

class StateTask<T> implements Task {
  #result: T | undefined;

  constructor(
    readonly writes: boolean,
    readonly bytes: number,
    readonly run: (now: number) => T,
    readonly resolve: (result: T) => void,
    readonly fail: (error: Error) => void,
  ) {}

  stage(now: number): void {
    this.#result = this.run(now);
  }

  undo(): void {
    this.#result = undefined;
  }

  settle(): void {
    this.resolve(this.#result as T);
  }
}

function prepareState(database: Database) {
  const live = "expiresAt IS NULL OR expiresAt > ?";
  return {
    get: database.prepare(`SELECT value, expiresAt FROM state WHERE key = ? AND (${live})`),
    set: database.prepare("INSERT OR REPLACE INTO state VALUES (?, ?, ?)"),
    touch: database.prepare(`UPDATE state SET expiresAt = ? WHERE key = ? AND (${live})`),
    remove: database.prepare("DELETE FROM state WHERE key = ?"),
    hasExpired: database.prepare("SELECT 1 FROM state WHERE expiresAt <= ? LIMIT 1"),
    expire: database.prepare(
      `DELETE FROM state WHERE key IN (SELECT key FROM state WHERE expiresAt <= ? LIMIT ${SWEEP_STEP})`,
    ),
    position: database.prepare("SELECT epoch, offset FROM positions WHERE channel = ? AND holder = ?"),
    setPosition: database.prepare("INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)"),
    // Names are compared by their bytes, and `-` follows on the comma: the range is this user's devices and nobody else's.
    dropDevices: database.prepare(
      `DELETE FROM positions WHERE channel = ?1 AND holder IN (
         SELECT holder FROM positions WHERE channel = ?1 AND holder > ?2 || ',' AND holder < ?2 || '-'
         ORDER BY movedAt DESC LIMIT -1 OFFSET ${DEVICES_MAX})`,
    ),
  };
}

export class SqliteState implements StateStore {
  readonly #statements;
  /** The time of the last move, or a little later: no two moves share one. */
  #movedAt = 0;

  constructor(
    database: Database,
    readonly committer: Committer,
    readonly clock: Clock,
  ) {
    this.#statements = prepareState(database);
  }

  #perform<T>(writes: boolean, bytes: number, run: (now: number) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const task = new StateTask(writes, bytes + OVERHEAD_BYTES, run, resolve, reject);
      if (writes || !this.committer.empty) this.committer.add(task);
      else this.committer.read(task);
    });
  }

  #find(key: string, now: number): { value: string; expiresAt: number | null } | undefined {
    const row = this.#statements.get.values(key, now)[0];
    return row === undefined ? undefined : { value: row[0] as string, expiresAt: row[1] as number | null };
  }

  get(key: string): Promise<string | undefined> {
    return this.#perform(false, 0, (now) => this.#find(key, now)?.value);
  }

  async set(key: string, value: string, ttlMs: number | undefined): Promise<void> {
    await this.#perform(true, key.length + value.length, (now) => {
      this.#statements.set.run(key, value, ttlMs === undefined ? null : now + ttlMs);
    });
  }

  add(key: string, amount: number, ttlMs: number | undefined): Promise<number> {
    return this.#perform(true, key.length, (now) => {
      const found = this.#find(key, now);
      const sum = sumOf(found?.value, amount);
      const expiresAt = ttlMs === undefined ? (found?.expiresAt ?? null) : now + ttlMs;
      this.#statements.set.run(key, JSON.stringify(sum), expiresAt);
      return sum;
    });
  }

  touch(key: string, ttlMs: number): Promise<boolean> {
    return this.#perform(true, key.length, (now) => this.#statements.touch.run(now + ttlMs, key, now).changes > 0);
  }

  remove(key: string): Promise<boolean> {
    return this.#perform(true, key.length, (now) => {
      const known = this.#find(key, now) !== undefined;
      this.#statements.remove.run(key);
      return known;
    });
  }

  #position(channel: string, holder: string): Position | undefined {
    const row = this.#statements.position.values(channel, holder)[0];
    return row === undefined ? undefined : { epoch: row[0] as string, offset: row[1] as number };
  }

  position(channel: string, holder: string): Promise<Position | undefined> {
    return this.#perform(false, 0, () => this.#position(channel, holder));
  }

  acknowledge(channel: string, holder: string, position: Position): Promise<Position> {
    return this.#perform(true, channel.length + holder.length, (now) => {
      const before = this.#position(channel, holder);
      const held = furthest(before, position);
      if (held !== position) return held;
      this.#movedAt = Math.max(this.#movedAt + 1, now);
      this.#statements.setPosition.run(channel, holder, held.epoch, held.offset, this.#movedAt);
      const user = before === undefined ? deviceUserOf(holder) : undefined;
      if (user !== undefined) this.#statements.dropDevices.run(channel, user);
      return held;
    });
  }

  /** Deletes what has expired, some in each transaction. */
  sweep(): void {
    if (this.#statements.hasExpired.values(this.clock.now()).length === 0) return;
    const more = (deleted: number): void => {
      if (deleted === SWEEP_STEP) this.sweep();
    };
    this.committer.add(new StateTask(true, 0, (now) => this.#statements.expire.run(now).changes, more, nobodyWaits));
  }
}
