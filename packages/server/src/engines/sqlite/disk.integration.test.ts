/** The disk while running: when it is full, and how the log of the database is kept small. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { draftOf, RecordingSink } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Engine } from "../../ports/engine.ts";
import { LOG_BYTES_MAX } from "./checkpoints.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

const PAGE = { limit: 1_000_000, bytesMax: 1_000_000_000 };
const LONG = { retentionOf: () => ({ size: 1_000_000, ttlMs: 3_600_000 }) };

/** A small file system of its own; undefined where this user cannot mount one. */
function mountSmallDisk(): { folder: string; unmount(): void } | undefined {
  const folder = join(folders.make(), "disk");
  mkdirSync(folder);
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]);
  if (mounted.exitCode !== 0) return undefined;
  // Lazily: a test that failed has left its engine open, and the disk must go all the same.
  return { folder, unmount: () => void Bun.spawnSync(["umount", "--lazy", folder]) };
}

const probe = mountSmallDisk();
probe?.unmount();
const canMount = probe !== undefined;
if (!canMount) process.stdout.write("full disk: skipped, since only root can mount the small disk it needs\n");

/** Fills the disk to the last byte. */
function fillDisk(folder: string): string {
  const filler = join(folder, "filler");
  const { bavail, bsize } = statfsSync(folder);
  writeFileSync(filler, Buffer.alloc(bavail * bsize));
  return filler;
}

async function publish(engine: Engine, channel: string, data: string): Promise<number | string> {
  try {
    return (await engine.broker.publish(channel, { data: JSON.stringify(data), keep: true })).offset;
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    return error.error;
  }
}

async function withSmallDisk(run: (folder: string) => Promise<void>): Promise<void> {
  const disk = mountSmallDisk();
  if (disk === undefined) throw new Error("the small disk cannot be mounted");
  try {
    await run(disk.folder);
  } finally {
    disk.unmount();
  }
}

describe.skipIf(!canMount)("a full disk", () => {
  // Undone forwards, the second clear brought back what the first had set: the offset of a publication that was never kept.
  test("[EN-7] clears that failed together take nothing away, not even after a restart", async () => {
    await withSmallDisk(async (folder) => {
      const engine = folders.open(folder, { settings: LONG });
      const { broker } = engine;
      await broker.subscribe("a");
      await publish(engine, "a", "1");
      const filler = fillDisk(folder);
      const refused = publish(engine, "a", "x".repeat(200_000));
      const clears = await Promise.allSettled([broker.clear("a"), broker.clear("a")]);
      expect([await refused, ...clears.map(({ status }) => status)]).toEqual(["unavailable", "rejected", "rejected"]);
      rmSync(filler);
      expect(await publish(engine, "a", "2")).toBe(2);
      await engine.close();
      const restarted = folders.open(folder, { settings: LONG });
      const page = await restarted.broker.history("a", { from: "earliest", ...PAGE });
      expect(page.publications.map(({ offset }) => offset)).toEqual([1, 2]);
      await restarted.close();
    });
  });

  test("[EN-14] [PU-8] publishes are unavailable, the rest goes on, it recovers, and nothing acknowledged is missing", async () => {
    await withSmallDisk(async (folder) => {
      const sink = new RecordingSink();
      const clock = new FakeClock();
      const engine = folders.open(folder, { sink, clock, settings: LONG });
      const { broker, state } = engine;
      await broker.subscribe("a");
      await state.set("k", "1", undefined);
      const acknowledged = [await publish(engine, "a", "first")];
      const filler = fillDisk(folder);

      const refused: (number | string)[] = [];
      // Small ones may still fit into what is allocated already.
      while (!refused.includes("unavailable")) {
        const answer = await publish(engine, "a", "x".repeat(20_000));
        (typeof answer === "number" ? acknowledged : refused).push(answer);
      }
      expect(engine.health()).toEqual({ ready: false, reason: "the disk is full" });
      const before = sink.delivered.length;
      const large = Array.from({ length: 5 }, (_, index) => publish(engine, "a", `${index}`.repeat(20_000)));
      const alongside = broker.publish("a", draftOf("alongside", { keep: false }));
      const read = state.get("k");
      expect(await Promise.all(large)).toEqual(large.map(() => "unavailable"));
      // Of the same turn, only what had to be kept has failed.
      expect(await alongside).toMatchObject({ offset: acknowledged.length });
      expect(await read).toBe("1");
      expect(sink.data.slice(before)).toEqual(['"alongside"']);

      // The rest goes on: reading, subscribing, and what is not kept.
      expect((await broker.history("a", { from: "earliest", ...PAGE })).publications.length).toBe(acknowledged.length);
      expect(await state.get("k")).toBe("1");
      expect((await broker.subscribe("fresh")).offset).toBe(0);
      const passing = await broker.publish("a", draftOf("passing", { keep: false }));
      expect(passing.offset).toBe(acknowledged.length);
      expect(sink.data.at(-1)).toBe('"passing"');

      // Nobody publishes to a node that says it is not ready: it must find out by itself.
      rmSync(filler);
      clock.advance(1_000);
      // A read waits behind what was asked before it, so the attempt is over now.
      await state.get("k");
      expect(engine.health()).toEqual({ ready: true });
      acknowledged.push(await publish(engine, "a", "again"));
      expect(acknowledged).toEqual(acknowledged.map((_, index) => index + 1));
      await engine.close();

      const restarted = folders.open(folder, { settings: LONG });
      const page = await restarted.broker.history("a", { from: "earliest", ...PAGE });
      expect(page.publications.map(({ offset }) => offset)).toEqual(acknowledged.map(Number));
      await restarted.close();
    });
  });

  test("[PU-4] a publish that was refused may be repeated with its key", async () => {
    await withSmallDisk(async (folder) => {
      const engine = folders.open(folder, { settings: LONG });
      const draft = draftOf("x".repeat(100_000), { key: "k" });
      const filler = fillDisk(folder);
      const refused: unknown = await engine.broker.publish("a", draft).catch((error: unknown) => error);
      expect(refused).toMatchObject({ error: "unavailable" });
      rmSync(filler);
      expect(await engine.broker.publish("a", draft)).toMatchObject({ offset: 1, repeated: false });
      expect(await engine.broker.publish("a", draft)).toMatchObject({ offset: 1, repeated: true });
      await engine.close();
      // The channel was new, and its row was rolled back with the publication: it must have been written again.
      const restarted = folders.open(folder, { settings: LONG });
      expect(await restarted.broker.publish("a", draft)).toMatchObject({ offset: 1, repeated: true });
      expect((await restarted.broker.history("a", { from: "earliest", ...PAGE })).publications.length).toBe(1);
      await restarted.close();
    });
  });

  test("[ST-2] a start on a full disk is refused with a sentence", async () => {
    await withSmallDisk((folder) => {
      fillDisk(folder);
      expect(() => folders.open(folder)).toThrow(/the disk .* is full/);
      return Promise.resolve();
    });
  });
});

describe("the log of the database", () => {
  test("stays under its cap in a burst of 200 MB while the loop goes on, and is gone after a stop", async () => {
    const folder = folders.make();
    const problems: string[] = [];
    const note = (event: string): void => void problems.push(event);
    const engine = folders.open(folder, {
      settings: { retentionOf: () => ({ size: 100, ttlMs: 3_600_000 }) },
      log: { debug: note, info: note, warn: note, error: note },
    });
    // The thread is started later, when the log has grown: it must not be looked up from where we are then.
    const startedIn = process.cwd();
    process.chdir(folder);
    const log = join(folder, "longwire.db-wal");
    const data = JSON.stringify("x".repeat(10_000));
    let largest = 0;
    let turns = 0;
    let held = 0;
    let answered = 0;
    let answeredAtLook = 0;
    let running = true;
    const look = (): void => {
      if (!running) return;
      turns++;
      const { size } = statSync(log);
      // A turn in which nothing was answered although everything waits: commits are held for the log to be emptied.
      if (answered === answeredAtLook && size >= LOG_BYTES_MAX / 2) held++;
      answeredAtLook = answered;
      largest = Math.max(largest, size);
      setImmediate(look);
    };
    setImmediate(look);
    for (let round = 0; round < 20; round++) {
      const publishes = Array.from({ length: 1_000 }, async (_, index) => {
        await engine.broker.publish(`c${index % 50}`, { data, keep: true });
        answered++;
      });
      await Promise.all(publishes);
    }
    running = false;
    process.chdir(startedIn);
    expect(problems).toEqual([]);
    expect(answered).toBe(20_000);
    expect(largest).toBeGreaterThan(LOG_BYTES_MAX / 4);
    expect(largest).toBeLessThanOrEqual(LOG_BYTES_MAX);
    // Commits were held at least once, and meanwhile the loop turned.
    expect(held).toBeGreaterThan(0);
    expect(turns).toBeGreaterThan(20);
    for (let channel = 0; channel < 50; channel++) {
      const { top, publications } = await engine.broker.history(`c${channel}`, { from: "earliest", ...PAGE });
      expect([top.offset, publications.length]).toEqual([400, 100]);
    }
    await engine.close();
    expect(statSync(log, { throwIfNoEntry: false })).toBeUndefined();
  }, 120_000);
});

describe("one publication that cannot be stored", () => {
  test("fails alone", async () => {
    const sink = new RecordingSink();
    const engine = folders.open(folders.make(), { sink });
    await engine.broker.subscribe("a");
    // A bug of a caller, as the database sees it: text was promised.
    const broken = { data: { length: 1 } as unknown as string, keep: true };
    const answers = await Promise.allSettled([
      engine.broker.publish("a", draftOf("1")),
      engine.broker.publish("a", broken),
      engine.broker.publish("a", draftOf("2")),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(sink.offsets("a")).toEqual([1, 2]);
    expect(engine.health()).toEqual({ ready: true });
    await engine.close();
  });
});
