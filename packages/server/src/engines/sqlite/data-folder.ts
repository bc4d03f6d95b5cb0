/**
 * The data folder: made, tried, locked and looked at before anything in it is written.
 *
 * What is refused is left as it was: the database is inspected through a read-only connection, since closing a writable one
 * would fold the log into the file; and a new database is made under another name and renamed, so that a crash in the
 * middle of making one leaves nothing that looks like one.
 *
 * The lock is an exclusive transaction on a small SQLite file of its own, held until the process ends: the kernel frees it
 * after SIGKILL too. On the database itself it would shut out the checkpoint thread and backups. Beware: POSIX drops all locks
 * that a process has on a file when it closes any descriptor of that file, so nothing here opens the lock file by other
 * means, or the database once SQLite has it.
 */
import { Database } from "bun:sqlite";
import { closeSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../base/failures.ts";
import { APPLICATION_ID, createTables, migrateTables, SCHEMA_VERSION } from "./schema.ts";

export const DATABASE_FILE = "longwire.db";
const LOCK_FILE = "longwire.lock";

/** A file up to this size is checked page by page at start (measured: 1.4 GB/s from the page cache); of a larger one, what loading reads. */
const CHECKED_BYTES_MAX = 256 * 1024 * 1024;

const MAGIC = "SQLite format 3\0";
const HEADER_BYTES = 100;

export interface DataFolder {
  /** Path of the database, which exists and is ours. */
  readonly path: string;
  /** Lets the next instance in. */
  release(): void;
}

export function openDataFolder(dataDir: string): DataFolder {
  prepareFolder(dataDir);
  const lock = lockFolder(dataDir);
  const path = join(dataDir, DATABASE_FILE);
  try {
    if (sizeOf(path) === undefined) createDatabase(path);
    inspectHeader(path);
    const version = inspectDatabase(path);
    if (version < SCHEMA_VERSION) migrateDatabase(path, version);
  } catch (error) {
    lock.close(true);
    throw error;
  }
  return { path, release: () => lock.close(true) };
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

function prepareFolder(dataDir: string): void {
  const probe = join(dataDir, `.longwire-probe-${process.pid}`);
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    writeFileSync(probe, "writable?");
    rmSync(probe);
  } catch (error) {
    rmProbe(probe);
    throw folderFault(dataDir, codeOf(error));
  }
}

function rmProbe(probe: string): void {
  try {
    rmSync(probe, { force: true });
  } catch {
    // The folder that could not be written cannot be cleaned either, and the first failure says more.
  }
}

function folderFault(dataDir: string, code: string): StartupError {
  if (code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL") {
    return new StartupError(
      `the disk of the data folder ${dataDir} is full (${code})`,
      "Free some space on it, or choose another folder with `dataDir`.",
    );
  }
  return new StartupError(
    `the data folder ${dataDir} cannot be written (${code})`,
    "Give the user that runs Longwire the right to write there, or choose another folder with `dataDir`.",
  );
}

function lockFolder(dataDir: string): Database {
  let lock: Database | undefined;
  try {
    lock = new Database(join(dataDir, LOCK_FILE), { create: true, readwrite: true });
    // No journal file beside a lock that never writes.
    lock.run("PRAGMA journal_mode = MEMORY");
    lock.run("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock?.close(true);
    const code = codeOf(error);
    if (code.startsWith("SQLITE_BUSY")) {
      throw new StartupError(
        `another Longwire is running on the data folder ${dataDir}`,
        "Stop it first, or give this one a folder of its own with `dataDir`.",
      );
    }
    throw folderFault(join(dataDir, LOCK_FILE), code);
  }
}

function createDatabase(path: string): void {
  const log = `${path}-wal`;
  if ((sizeOf(log) ?? 0) > 0) {
    throw new StartupError(
      `${path} is missing, but its log ${log} is there`,
      "Put the database back beside its log; to begin anew, move the log away.",
    );
  }
  const unfinished = `${path}.new`;
  try {
    for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(unfinished + suffix, { force: true });
    const database = new Database(unfinished, { create: true, readwrite: true });
    try {
      createTables(database);
    } finally {
      database.close(true);
    }
    renameSync(unfinished, path);
  } catch (error) {
    throw folderFault(path, codeOf(error));
  }
}

function damaged(path: string, how: string): StartupError {
  return new StartupError(
    `the database ${path} is damaged: ${how}`,
    "It has been left as it is. Put a backup in its place; to begin anew, move it away together with the files whose names begin with its name.",
  );
}

/** Looks at the first bytes, before SQLite does: what is no database at all, and what has been cut off. */
function inspectHeader(path: string): void {
  const header = Buffer.alloc(HEADER_BYTES);
  let read: number;
  try {
    const file = openSync(path, "r");
    read = readSync(file, header, 0, HEADER_BYTES, 0);
    closeSync(file);
  } catch (error) {
    throw folderFault(path, codeOf(error));
  }
  if (read < HEADER_BYTES || header.toString("latin1", 0, MAGIC.length) !== MAGIC) {
    throw new StartupError(
      `${path} is not a Longwire database`,
      "It has been left as it is. Move it away, or choose another folder with `dataDir`.",
    );
  }
  // The log may hold pages beyond the end of the file; without one the header's page count must be there.
  if ((sizeOf(`${path}-wal`) ?? 0) > 0) return;
  const pageSize = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16);
  const expected = header.readUInt32BE(28) * pageSize;
  const size = sizeOf(path) ?? 0;
  if (size < expected) throw damaged(path, `it has ${size} bytes instead of ${expected}`);
}

function migrateDatabase(path: string, version: number): void {
  const database = new Database(path, { readwrite: true });
  try {
    migrateTables(database, version);
  } catch (error) {
    throw startupFault(path, error);
  } finally {
    database.close(true);
  }
}

/** Looks through a read-only connection: whose it is, how new (the answer), whether its pages are sound. */
function inspectDatabase(path: string): number {
  let database: Database | undefined;
  try {
    database = new Database(path, { readonly: true });
    const application = pragma(database, "application_id");
    if (application !== APPLICATION_ID) {
      throw new StartupError(
        `${path} is a database of another program`,
        "It has been left as it is. Choose another folder with `dataDir`.",
      );
    }
    const version = Number(pragma(database, "user_version"));
    if (version > SCHEMA_VERSION) {
      throw new StartupError(
        `${path} was written by a newer Longwire (format ${version}, this one knows ${SCHEMA_VERSION})`,
        "It has been left as it is. Start that version, or choose another folder with `dataDir`.",
      );
    }
    if ((sizeOf(path) ?? 0) <= CHECKED_BYTES_MAX) {
      const finding = pragma(database, "quick_check(1)");
      if (finding !== "ok") throw damaged(path, String(finding).replaceAll("\n", " "));
    }
    return version;
  } catch (error) {
    throw startupFault(path, error);
  } finally {
    database?.close(true);
  }
}

function pragma(database: Database, name: string): unknown {
  return database.prepare(`PRAGMA ${name}`).values()[0]?.[0];
}

/** What a failure of SQLite means for somebody who wants to start the server. */
export function startupFault(path: string, error: unknown): unknown {
  if (error instanceof StartupError) return error;
  const code = codeOf(error);
  if (code.startsWith("SQLITE_CORRUPT") || code.startsWith("SQLITE_NOTADB")) {
    return damaged(path, (error as Error).message);
  }
  if (code.startsWith("SQLITE_")) return folderFault(path, code);
  return error;
}
