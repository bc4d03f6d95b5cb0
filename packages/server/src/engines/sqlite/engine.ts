/**
 * Engine `sqlite`: one node, everything kept in `longwire.db` in the data folder.
 *
 * What is acknowledged is in the log of the database and survives the death of the process. `sync: normal` leaves the moment at
 * which the disk has it to the operating system: after a power loss the end may be missing, and offsets that were given
 * out would be given out again. So the database knows the boot of the machine on which it was opened and whether it was
 * closed; if it was not, and the machine has booted since, every channel begins a new epoch. `sync: full` waits for the disk
 * at every commit and keeps its epochs.
 */
import { Database } from "bun:sqlite";
import { readFileSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { Sink } from "../../ports/broker.ts";
import type { Engine, EngineSettings } from "../../ports/engine.ts";
import { ALONE } from "../../ports/node-bus.ts";
import { SWEEP_INTERVAL_MS } from "../channel-list.ts";
import { LocalPresence } from "../local-presence.ts";
import { SqliteBroker } from "./broker.ts";
import { checkpoint, Checkpoints } from "./checkpoints.ts";
import { Committer } from "./committer.ts";
import { type DataFolder, openDataFolder, startupFault } from "./data-folder.ts";
import { type Loaded, loadShelf, type Meta, readMeta } from "./load.ts";
import { Shelf } from "./shelf.ts";
import { SqliteState } from "./state.ts";

const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

/** Bodies in memory: the newest publications up to this size. */
const HOT_BYTES_MAX = 64 * 1024 * 1024;

/** How long the loop may wait for a foreign process that holds the database. */
const BUSY_MS = 200;

export interface SqliteOptions {
  readonly dataDir: string;
  readonly sync: "normal" | "full";
  /** Names the boot of the machine. */
  readonly bootIdFile?: string;
  /** Size of the bodies that stay in memory. */
  readonly hotBytesMax?: number;
}

/** Throws `StartupError`, having changed nothing, if the data folder cannot be used. */
export function openSqliteEngine(
  options: SqliteOptions,
  settings: EngineSettings,
  sink: Sink,
  clock: Clock,
  log: Logger,
): Engine {
  const folder = openDataFolder(options.dataDir);
  let database: Database | undefined;
  try {
    const bootId = readBootId(options.bootIdFile ?? BOOT_ID_FILE);
    const shelf = new Shelf(settings, options.hotBytesMax ?? HOT_BYTES_MAX);
    const loaded = load(folder, shelf, bootId, clock);
    database = new Database(folder.path, { readwrite: true });
    begin(database, options.sync, bootId, shelf.vacancies.origin, loaded);
    shelf.connect(database);
    return assemble(database, folder, shelf, settings, sink, clock, log);
  } catch (error) {
    database?.close(true);
    folder.release();
    throw startupFault(folder.path, error);
  }
}

function readBootId(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    // Not Linux. Then nobody can tell a crash of the process from one of the machine, and the worse is assumed.
    return "";
  }
}

/** Through a read-only connection: what turns out to be damaged stays as it is. */
function load(folder: DataFolder, shelf: Shelf, bootId: string, clock: Clock): Loaded {
  const reader = new Database(folder.path, { readonly: true });
  try {
    return loadShelf(reader, shelf, endMayBeMissing(readMeta(reader), bootId), clock.now());
  } finally {
    reader.close(true);
  }
}

function endMayBeMissing(meta: Meta, bootId: string): boolean {
  if (meta.get("clean") !== "no" || meta.get("sync") === "full") return false;
  return bootId === "" || meta.get("boot") !== bootId;
}

/** Writes that this run has begun, and its new epochs. Before anything is given out, this must be on the disk itself. */
function begin(database: Database, sync: SqliteOptions["sync"], bootId: string, origin: string, loaded: Loaded): void {
  database.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
  database.run("PRAGMA wal_autocheckpoint = 0");
  database.run("PRAGMA cache_size = -16000");
  database.run("PRAGMA synchronous = FULL");
  const renew = database.prepare(
    "UPDATE channels SET epoch = ?, top = ?, previousEpoch = ?, previousTop = ? WHERE id = ?",
  );
  const remove = database.prepare("DELETE FROM channels WHERE id = ?");
  const write = database.transaction(() => {
    writeMeta(database, { boot: bootId, sync, origin, clean: "no" });
    for (const { epoch, top, previous, id } of loaded.renewed) {
      renew.run(epoch, top, previous?.epoch ?? null, previous?.offset ?? null, id);
    }
    for (const id of loaded.unkept) remove.run(id);
  });
  write.immediate();
  if (sync === "normal") database.run("PRAGMA synchronous = NORMAL");
}

function writeMeta(database: Database, values: Readonly<Record<string, string>>): void {
  const set = database.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)");
  for (const [key, value] of Object.entries(values)) set.run(key, value);
}

function assemble(
  database: Database,
  folder: DataFolder,
  shelf: Shelf,
  settings: EngineSettings,
  sink: Sink,
  clock: Clock,
  log: Logger,
): Engine {
  const checkpoints = new Checkpoints(database, folder.path, log);
  const committer = new Committer(database, shelf, checkpoints, clock, log);
  const broker = new SqliteBroker(shelf, committer, settings, sink, clock);
  const state = new SqliteState(database, committer, clock);
  const sweep = clock.every(SWEEP_INTERVAL_MS, () => {
    broker.sweep();
    state.sweep();
    committer.probe();
  });
  return {
    broker,
    presence: new LocalPresence(sink),
    state,
    bus: ALONE,
    health() {
      const { fault } = committer;
      return fault === undefined ? { ready: true } : { ready: false, reason: fault };
    },
    async close() {
      sweep.cancel();
      await committer.close();
      await checkpoints.close();
      finish(database, shelf, clock.now(), log);
      database.close(true);
      folder.release();
    },
  };
}

/** Says that this run ended in order, and leaves one file behind. */
function finish(database: Database, shelf: Shelf, now: number, log: Logger): void {
  try {
    // The mark must not be on the disk without what it speaks of, and not be lost while the offsets after it are given out.
    database.run("PRAGMA synchronous = FULL");
    const write = database.transaction(() => {
      shelf.writeAll(now);
      writeMeta(database, { clean: "yes" });
    });
    write.immediate();
    const { fault } = checkpoint(database, "TRUNCATE");
    if (fault !== undefined) log.warn("the log cannot be emptied", { reason: fault });
  } catch (error) {
    // Nothing acknowledged is lost by it: the next start finds an unclean stop.
    log.error("the database could not be closed in order", { error });
  }
}
