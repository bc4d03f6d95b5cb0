/**
 * A process with a sqlite engine, to be killed. `startChild(folder)` starts this file as a child: it publishes `"1"`, `"2"`, … to the
 * channels `c0`, `c1` and `c2` in turn, ten at a time, and appends a line `channel epoch offset` to a file for each answer. So what
 * stands in the lines has been acknowledged, and offset n of a channel must hold the data `"n"`.
 *
 *     const child = startChild(folder, { bootIdFile, linesFile, sync: "normal" });
 *     await child.acknowledged(500);     // at least so many lines
 *     const lines = await child.kill();  // SIGKILL; all lines that were written
 *
 * With `count` the child stops publishing after so many per channel and waits. Each child also sets the state `started`,
 * acknowledges `c0` for bob at offset 1, and publishes to `keyed` with the key `k`, before the first line.
 */
import { existsSync, openSync, readFileSync, writeSync } from "node:fs";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/log.ts";
import { openSqliteEngine } from "../../src/engines/sqlite/engine.ts";
import { draftOf, RecordingSink, settingsOf } from "./engine.ts";

export const CHANNELS = ["c0", "c1", "c2"] as const;

export interface ChildOptions {
  readonly bootIdFile: string;
  /** Where the child writes its lines: a file, which takes them at once, and not a pipe that could be full. */
  readonly linesFile: string;
  readonly sync?: "normal" | "full";
  readonly count?: number;
}

export interface Acknowledged {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
}

export interface Child {
  acknowledged(count: number): Promise<void>;
  kill(): Promise<Acknowledged[]>;
}

export function startChild(folder: string, options: ChildOptions): Child {
  const child = Bun.spawn([process.execPath, import.meta.path, folder, JSON.stringify(options)], {
    stdio: ["ignore", "inherit", "inherit"],
    // Another folder than the repository's: nothing may be looked up from where the server was started.
    cwd: "/",
  });
  const lines = (): string[] => {
    // The file appears with the first line.
    return existsSync(options.linesFile) ? readFileSync(options.linesFile, "utf8").split("\n").slice(0, -1) : [];
  };
  return {
    async acknowledged(count) {
      while (lines().length < count) {
        if (child.exitCode !== null) throw new Error(`the child ended with ${child.exitCode}`);
        await Bun.sleep(10);
      }
    },
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
      return lines().map((line) => {
        const [channel, epoch, offset] = line.split(" ") as [string, string, string];
        return { channel, epoch, offset: Number(offset) };
      });
    },
  };
}

async function run(folder: string, options: ChildOptions): Promise<void> {
  const { bootIdFile, linesFile, sync = "normal", count = Infinity } = options;
  const engine = openSqliteEngine(
    { dataDir: folder, sync, bootIdFile },
    settingsOf({ retentionOf: () => ({ size: 1_000_000, ttlMs: 3_600_000 }) }),
    new RecordingSink(),
    systemClock,
    createLogger("warn", "json"),
  );
  const { broker, state } = engine;
  const file = openSync(linesFile, "a");
  const publish = async (channel: string, data: string): Promise<void> => {
    const { epoch, offset } = await broker.publish(channel, draftOf(data));
    writeSync(file, `${channel} ${epoch} ${offset}\n`);
  };
  const { epoch } = await broker.subscribe("c0");
  await broker.publish("keyed", draftOf("x", { key: "k" }));
  await state.set("started", '"yes"', undefined);
  await state.acknowledge("c0", "bob", { epoch, offset: 1 });
  for (let next = 1; next <= count; next += 10) {
    const numbers = Array.from({ length: Math.min(10, count - next + 1) }, (_, index) => next + index);
    await Promise.all(numbers.flatMap((number) => CHANNELS.map((channel) => publish(channel, `${number}`))));
  }
  setInterval(() => {}, 60_000);
}

if (import.meta.main) {
  const [folder, options] = process.argv.slice(2) as [string, string];
  await run(folder, JSON.parse(options) as ChildOptions);
}
