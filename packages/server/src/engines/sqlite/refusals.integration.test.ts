/** [ST-2] What refuses the start, and that it leaves everything as it was. */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { draftOf } from "../../../test/support/engine.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";
import { systemClock } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

/** Opens and expects a refusal whose sentence says this; nothing in the folder may have changed, but for SQLite's own shared memory. */
function expectRefusal(folder: string, words: RegExp): void {
  const before = contents(folder);
  let failure: unknown;
  try {
    folders.open(folder);
  } catch (error) {
    failure = error;
  }
  expect(failure).toBeInstanceOf(StartupError);
  expect((failure as StartupError).message).toMatch(words);
  expect((failure as StartupError).message).toContain(folder);
  expect((failure as StartupError).advice.length).toBeGreaterThan(20);
  expect(contents(folder)).toEqual(before);
}

function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder).filter((name) => name.endsWith(".db") || name.endsWith("-wal"));
  const filled = files.filter((name) => statSync(join(folder, name)).size > 0);
  return Object.fromEntries(filled.map((name) => [name, Bun.hash(readFileSync(join(folder, name))).toString(16)]));
}

/** A folder with a closed database of `count` publications. */
async function filled(count: number): Promise<{ folder: string; path: string }> {
  const folder = folders.make();
  const engine = folders.open(folder, { settings: { retentionOf: () => ({ size: 100_000, ttlMs: 60_000 }) } });
  const publish = (_: unknown, index: number) => engine.broker.publish("a", draftOf(`${index}`.padStart(300, "x")));
  await Promise.all(Array.from({ length: count }, publish));
  await engine.close();
  return { folder, path: join(folder, "longwire.db") };
}

function overwrite(path: string, at: number, bytes: Uint8Array): void {
  const file = openSync(path, "r+");
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

const GARBAGE = new Uint8Array(600).fill(0xa5);

describe("the database", () => {
  test("[ST-2] damaged in its header", async () => {
    const { folder, path } = await filled(100);
    overwrite(path, 40, GARBAGE);
    expectRefusal(folder, /damaged|another program/);
  });

  test("[ST-2] damaged in its first page", async () => {
    const { folder, path } = await filled(100);
    overwrite(path, 100, GARBAGE);
    expectRefusal(folder, /damaged/);
  });

  test("[ST-2] damaged in the middle", async () => {
    const { folder, path } = await filled(1_000);
    overwrite(path, Math.floor(statSync(path).size / 2 / 4096) * 4096, GARBAGE);
    expectRefusal(folder, /damaged/);
  });

  test("[ST-2] damaged where no start would read it", async () => {
    const folder = folders.make();
    const engine = folders.open(folder);
    const sets = Array.from({ length: 500 }, (_, index) =>
      engine.state.set(`${index}`, `"${"x".repeat(500)}"`, undefined),
    );
    await Promise.all(sets);
    await engine.close();
    const path = join(folder, "longwire.db");
    overwrite(path, Math.floor(statSync(path).size / 2 / 4096) * 4096, GARBAGE);
    expectRefusal(folder, /damaged/);
  });

  test("[ST-2] cut off", async () => {
    const { folder, path } = await filled(1_000);
    truncateSync(path, Math.floor(statSync(path).size / 2));
    expectRefusal(folder, /damaged: it has \d+ bytes instead of \d+/);
  });

  test("[ST-2] damaged while its log holds what was published last: the log is not folded in", async () => {
    const folder = folders.make();
    await fillOld(folder);
    const child = folders.start(folder, { count: 50 });
    await child.acknowledged(150);
    await child.kill();
    const path = join(folder, "longwire.db");
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    overwrite(path, Math.floor(statSync(path).size / 2 / 4096) * 4096, GARBAGE);
    expectRefusal(folder, /damaged/);
  }, 60_000);

  test("[ST-2] a text in its place", () => {
    const folder = folders.make();
    writeFileSync(join(folder, "longwire.db"), "Dear diary, ".repeat(100));
    expectRefusal(folder, /is not a Longwire database/);
    writeFileSync(join(folder, "longwire.db"), "");
    expectRefusal(folder, /is not a Longwire database/);
  });

  test("[ST-2] a database of another program in its place", () => {
    const folder = folders.make();
    const other = new Database(join(folder, "longwire.db"));
    other.run("CREATE TABLE invoices (id INTEGER)");
    other.close(true);
    expectRefusal(folder, /another program/);
  });

  test("[ST-2] of a newer version", async () => {
    const { folder, path } = await filled(1);
    const newer = new Database(path);
    newer.run("PRAGMA user_version = 99");
    newer.close(true);
    expectRefusal(folder, /newer Longwire \(format 99/);
  });

  test("[ST-2] gone, with its log left", async () => {
    const folder = folders.make();
    writeFileSync(join(folder, "longwire.db-wal"), "frames of something");
    expectRefusal(folder, /missing, but its log/);
  });
});

async function fillOld(folder: string): Promise<void> {
  const engine = folders.open(folder, { clock: systemClock });
  for (let count = 0; count < 100; count++) await engine.broker.publish("old", draftOf("x".repeat(1_000)));
  await engine.close();
}

describe("the folder", () => {
  test("[ST-2] [ST-4] in use: by this process, by another, and free again when that is killed", async () => {
    const folder = folders.make();
    const first = folders.open(folder);
    expectInUse(folder);
    // The refused one must not have taken the lock of the first along.
    expectInUse(folder);
    await first.close();
    const child = folders.start(folder, { count: 1 });
    await child.acknowledged(1);
    expectInUse(folder);
    await child.kill();
    const again = folders.open(folder);
    expect(await again.broker.publish("c0", draftOf("x"))).toMatchObject({ offset: 2 });
    await again.close();
  }, 60_000);

  test("[ST-2] a file in its place", () => {
    const parent = folders.make();
    const folder = join(parent, "data");
    writeFileSync(folder, "a file");
    expect(() => folders.open(folder)).toThrow(/cannot be written \(EEXIST|cannot be written \(ENOTDIR/);
    expect(() => folders.open(join(folder, "below"))).toThrow(/cannot be written \(ENOTDIR/);
    expect(readFileSync(folder, "utf8")).toBe("a file");
  });

  test("[ST-2] a folder that does not exist is made, with access for its owner alone", async () => {
    const folder = join(folders.make(), "a", "b");
    await folders.open(folder).close();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test("an unfinished database of a start that was killed is made anew", async () => {
    const folder = folders.make();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "longwire.db.new"), "half");
    writeFileSync(join(folder, "longwire.db.new-journal"), "half");
    const engine = folders.open(folder);
    expect(await engine.broker.publish("a", draftOf("x"))).toMatchObject({ offset: 1 });
    await engine.close();
    expect(readdirSync(folder).toSorted()).toEqual(["longwire.db", "longwire.lock"]);
  });
});

function expectInUse(folder: string): void {
  expect(() => folders.open(folder)).toThrow(/another Longwire is running/);
}
