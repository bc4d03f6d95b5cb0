/**
 * The tables of `longwire.db`.
 *
 * `publications` is append-only and its only key is the row id: a key of channel and offset would be an index that every
 * publish writes at a random place (measured: 46,000 publications/s against 756,000). Offsets are found in memory,
 * where the rows of each channel are listed; the table is read in order at start.
 */
import type { Database } from "bun:sqlite";

/** "lwdb" in ASCII: says that a SQLite file is ours. */
export const APPLICATION_ID = 0x6c776462;

/** Raised with every change of the tables; a file with a higher one belongs to a newer Longwire. */
export const SCHEMA_VERSION = 2;

const TABLES = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- top: at least what it was when it was written; the last row of publications may say more.
-- floor: publications up to here have been cleared.
CREATE TABLE channels (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  epoch TEXT NOT NULL,
  top INTEGER NOT NULL,
  floor INTEGER NOT NULL,
  previousEpoch TEXT,
  previousTop INTEGER,
  usedAt INTEGER NOT NULL
);

-- channel is channels.id; rows of ids that are not there any more are leftovers.
CREATE TABLE publications (
  id INTEGER PRIMARY KEY,
  channel INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  time INTEGER NOT NULL,
  data TEXT NOT NULL,
  name TEXT,
  user TEXT,
  session TEXT,
  exclude TEXT,
  encoding TEXT
);

CREATE TABLE keys (
  id INTEGER PRIMARY KEY,
  channel TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  epoch TEXT NOT NULL,
  offset INTEGER NOT NULL,
  time INTEGER NOT NULL
);

CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL, expiresAt INTEGER) WITHOUT ROWID;
CREATE INDEX stateExpiry ON state (expiresAt) WHERE expiresAt IS NOT NULL;

-- movedAt: grows with every move, so that a user's devices stand in an order.
CREATE TABLE positions (
  channel TEXT NOT NULL,
  holder TEXT NOT NULL,
  epoch TEXT NOT NULL,
  offset INTEGER NOT NULL,
  movedAt INTEGER NOT NULL,
  PRIMARY KEY (channel, holder)
) WITHOUT ROWID;
`;

/** Makes the tables in an empty database. */
export function createTables(database: Database): void {
  database.run("PRAGMA journal_mode = WAL");
  database.run(
    `BEGIN; ${TABLES} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`,
  );
}

/** What brings the tables from one version to the next: the first from 1 to 2. */
const MIGRATIONS: readonly string[] = ["ALTER TABLE publications ADD COLUMN encoding TEXT"];

/** Brings tables of an older version up to this one, in one transaction. */
export function migrateTables(database: Database, version: number): void {
  const steps = MIGRATIONS.slice(version - 1);
  database.run(`BEGIN; ${steps.join("; ")}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`);
}

/** The statements of the way of a publication, prepared once. */
export function prepareBroker(database: Database) {
  return {
    insertChannel: database.prepare("INSERT INTO channels VALUES (?, ?, ?, ?, ?, ?, ?, ?)"),
    updateChannel: database.prepare("UPDATE channels SET top = ?, floor = ?, usedAt = ? WHERE id = ?"),
    deleteChannel: database.prepare("DELETE FROM channels WHERE id = ?"),
    insertPublication: database.prepare("INSERT INTO publications VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    readPublication: database.prepare(
      "SELECT offset, time, data, name, user, session, exclude, encoding FROM publications WHERE id = ?",
    ),
    deletePublications: database.prepare("DELETE FROM publications WHERE id BETWEEN ? AND ?"),
    insertKey: database.prepare("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?)"),
    deleteKeys: database.prepare("DELETE FROM keys WHERE id <= ?"),
    deletePositions: database.prepare("DELETE FROM positions WHERE channel = ?"),
    setMeta: database.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)"),
  };
}

export type BrokerStatements = ReturnType<typeof prepareBroker>;
