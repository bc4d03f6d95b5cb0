/**
 * Data folders for tests of the sqlite engine, and engines on them.
 *
 *     const folders = new SqliteFolders();
 *     afterAll(() => folders.remove());
 *     const folder = folders.make();
 *     const engine = folders.open(folder);                   // anything can be given, everything has a default
 *     await engine.close();
 *     const again = folders.open(folder, { boot: "second" }); // as if the machine had been started again
 *
 *     const child = folders.start(folder, { boot: "first" });  // another process on it, to be killed
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger, type Logger } from "../../src/base/log.ts";
import type { Clock } from "../../src/base/clock.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/engine.ts";
import type { Sink } from "../../src/ports/broker.ts";
import type { Engine, EngineSettings } from "../../src/ports/engine.ts";
import { RecordingSink, settingsOf } from "./engine.ts";
import { FakeClock } from "./fake-clock.ts";
import { type Child, startChild } from "./sqlite-child.ts";

export interface OpenOptions {
  readonly settings?: Partial<EngineSettings>;
  readonly sink?: Sink;
  readonly clock?: Clock;
  readonly sync?: "normal" | "full";
  readonly boot?: string;
  readonly hotBytesMax?: number;
  readonly log?: Logger;
}

export class SqliteFolders {
  readonly #made: string[] = [];

  make(): string {
    const folder = mkdtempSync(join(tmpdir(), "longwire-sqlite-"));
    this.#made.push(folder);
    return folder;
  }

  /** A process with an engine on the folder, to be killed: see `sqlite-child.ts`. */
  start(folder: string, options: { boot?: string; sync?: "normal" | "full"; count?: number } = {}): Child {
    const { boot = "first", ...rest } = options;
    const own = this.make();
    const bootIdFile = join(own, "boot-id");
    writeFileSync(bootIdFile, boot);
    return startChild(folder, { bootIdFile, linesFile: join(own, "lines"), ...rest });
  }

  open(folder: string, options: OpenOptions = {}): Engine {
    const {
      boot = "first",
      sync = "normal",
      clock = new FakeClock(),
      sink = new RecordingSink(),
      hotBytesMax,
    } = options;
    const bootIdFile = join(this.make(), "boot-id");
    writeFileSync(bootIdFile, boot);
    return openSqliteEngine(
      { dataDir: folder, sync, bootIdFile, ...(hotBytesMax === undefined ? {} : { hotBytesMax }) },
      settingsOf(options.settings),
      sink,
      clock,
      options.log ?? createLogger("silent", "json"),
    );
  }

  remove(): void {
    for (const folder of this.#made.splice(0)) rmSync(folder, { recursive: true, force: true });
  }
}
