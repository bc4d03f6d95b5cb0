import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../base/log.ts";
import { Checkpoints } from "./checkpoints.ts";

test("[ST-6] a stop in the middle of emptying the log lets it be emptied first", async () => {
  const folder = mkdtempSync(join(tmpdir(), "longwire-checkpoints-"));
  const path = join(folder, "a.db");
  const database = new Database(path, { create: true, readwrite: true });
  try {
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA wal_autocheckpoint = 0");
    database.run("CREATE TABLE a (b BLOB)");
    const insert = database.prepare("INSERT INTO a VALUES (?)");
    for (let megabyte = 0; megabyte < 52; megabyte++) insert.run(new Uint8Array(1024 * 1024));
    const checkpoints = new Checkpoints(database, path, createLogger("silent", "json"));
    const order: string[] = [];
    const gate = checkpoints.committed(52 * 1024 * 1024);
    if (gate === undefined) throw new Error("the log is long enough, and nothing waits for it");
    const closed = checkpoints.close().then(() => order.push("closed"));
    // The commits that wait for it are let go before the thread ends; else they would wait for ever.
    await Promise.race([gate.then(() => order.push("emptied")), closed]);
    await closed;
    expect(order).toEqual(["emptied", "closed"]);
    expect(statSync(`${path}-wal`).size).toBe(0);
  } finally {
    database.close(true);
    rmSync(folder, { recursive: true, force: true });
  }
});
