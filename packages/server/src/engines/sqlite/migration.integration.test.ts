/** Databases of older versions: they are brought up to this one at the start, and lose nothing. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { draftOf } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";
import type { HistoryPage } from "../../ports/broker.ts";
import { DATABASE_FILE } from "./data-folder.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

const PAGE = { from: "earliest", limit: 1000, bytesMax: 1_000_000 } as const;

/** Publications as version 1 had them; its other tables are those of today. */
const FIRST_PUBLICATIONS = `
CREATE TABLE publications (
  id INTEGER PRIMARY KEY,
  channel INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  time INTEGER NOT NULL,
  data TEXT NOT NULL,
  name TEXT,
  user TEXT,
  session TEXT,
  exclude TEXT
)`;

interface Old {
  readonly folder: string;
  readonly clock: FakeClock;
  readonly history: HistoryPage;
}

/** A folder as a server of version 1 has left it. */
async function makeOld(): Promise<Old> {
  const folder = folders.make();
  const clock = new FakeClock();
  const engine = folders.open(folder, { clock });
  await engine.broker.publish("a", draftOf("x", { key: "k", name: "n", user: "bob", session: "s", exclude: "e" }));
  for (let n = 0; n < 50; n++) await engine.broker.publish("a", draftOf(`${n}`));
  const history = await engine.broker.history("a", PAGE);
  await engine.state.set("value", "1", undefined);
  await engine.close();
  const database = new Database(join(folder, DATABASE_FILE), { readwrite: true });
  database.run("ALTER TABLE publications RENAME TO today");
  database.run(FIRST_PUBLICATIONS);
  database.run(
    "INSERT INTO publications SELECT id, channel, offset, time, data, name, user, session, exclude FROM today",
  );
  database.run("DROP TABLE today; PRAGMA user_version = 1");
  database.close(true);
  return { folder, clock, history };
}

function versionOf(folder: string): unknown {
  const database = new Database(join(folder, DATABASE_FILE), { readonly: true });
  const version = database.prepare("PRAGMA user_version").values()[0]?.[0];
  database.close(true);
  return version;
}

/** Opens it with this version, and finds everything, and room for bytes. */
async function expectWhole({ folder, clock, history }: Old): Promise<void> {
  const engine = folders.open(folder, { clock, hotBytesMax: 0 });
  expect(await engine.broker.history("a", PAGE)).toEqual(history);
  expect(await engine.state.get("value")).toBe("1");
  const keyed = draftOf("x", { key: "k", name: "n", user: "bob" });
  expect(await engine.broker.publish("a", keyed)).toEqual({ ...history.top, offset: 1, repeated: true });
  const top = { ...history.top, offset: history.top.offset + 1 };
  expect(await engine.broker.publish("a", draftOf("AP8=", { encoding: "base64" }))).toEqual({
    ...top,
    repeated: false,
  });
  await engine.close();
  const again = folders.open(folder, { clock });
  const { publications } = await again.broker.history("a", { ...PAGE, from: history.top });
  expect(publications).toMatchObject([{ offset: top.offset, data: '"AP8="', encoding: "base64" }]);
  await again.close();
  expect(versionOf(folder)).toBe(2);
}

test("[EN-12] [BI-1] a database of version 1 keeps history, keys and state, and takes bytes", async () => {
  const old = await makeOld();
  expect(versionOf(old.folder)).toBe(1);
  await expectWhole(old);
});

/** Runs the migration with its own statements up to a place, and dies there. */
function dieMigrating(folder: string, upTo: "first" | "last"): number | null {
  const code = `
    import { Database } from "bun:sqlite";
    import { migrateTables } from ${JSON.stringify(join(import.meta.dir, "schema.ts"))};
    const database = new Database(${JSON.stringify(join(folder, DATABASE_FILE))}, { readwrite: true });
    // What is not committed goes to the log at once, as it would in a large transaction.
    database.run("PRAGMA cache_size = 1");
    migrateTables({ run(sql) {
      const steps = sql.split(";").map((step) => step.trim()).filter((step) => step !== "");
      const last = steps.findIndex((step) => step === "COMMIT");
      for (const step of steps.slice(0, ${upTo === "first" ? 2 : "last"})) database.run(step);
      process.kill(process.pid, "SIGKILL");
    } }, 1);
  `;
  const child = Bun.spawnSync([process.execPath, "-e", code], { cwd: "/", stdio: ["ignore", "inherit", "inherit"] });
  return child.signalCode === "SIGKILL" ? null : child.exitCode;
}

test.each(["first", "last"] as const)(
  "[EN-12] a migration that is killed after its %s statement leaves the database usable, and is made up for",
  async (upTo) => {
    const old = await makeOld();
    expect(dieMigrating(old.folder, upTo)).toBeNull();
    expect(versionOf(old.folder)).toBe(1);
    await expectWhole(old);
  },
);

test("[ST-2] a migration that cannot be written is refused, and leaves the database as it was", async () => {
  const old = await makeOld();
  const database = new Database(join(old.folder, DATABASE_FILE), { readwrite: true });
  // Another connection that writes stands for whatever keeps SQLite from doing so.
  database.run("BEGIN IMMEDIATE");
  expect(() => folders.open(old.folder, { clock: old.clock })).toThrow("longwire.db");
  database.run("ROLLBACK");
  database.close(true);
  expect(versionOf(old.folder)).toBe(1);
  await expectWhole(old);
});
