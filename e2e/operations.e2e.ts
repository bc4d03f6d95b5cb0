/** docs/operations.md says what is true of backups: its SQL is run on the database of a running server and on a copy. */
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ServerProcess, spawnServer } from "longwire/test/server-process";
import { connectClient } from "longwire/test/ws-client";
import { readCodeBlocks } from "./support/code-blocks.ts";

const folder = mkdtempSync(join(tmpdir(), "longwire-backup-"));
const servers: ServerProcess[] = [];

afterAll(async () => {
  for (const server of servers) await server.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** The statements of the page's sqlite3 commands, in order. */
async function statements(): Promise<string[]> {
  const blocks = await readCodeBlocks("docs/operations.md");
  return blocks.flatMap(({ code }) => /^sqlite3 data\/longwire\.db "(.*)"$/m.exec(code)?.[1] ?? []);
}

function execute(path: string, sql: string): void {
  const database = new Database(path, { readwrite: true });
  database.run(sql);
  database.close(true);
}

test("[P2] a restored backup gives no position out twice: who was beyond it is told, others go on", async () => {
  const [backUp = "", restore = ""] = await statements();
  const server = await spawnServer({ engine: "sqlite" });
  servers.push(server);
  const { epoch } = await server.publish("news", 1);
  await server.publish("news", 2);
  const copy = join(folder, "backup.db");
  execute(join(server.dataDir, "longwire.db"), backUp.replace("backup.db", copy));
  await server.publish("news", "after the backup");
  await server.publish("new", "a channel that the backup does not know");
  server.kill("SIGTERM");
  expect(await server.exited).toBe(0);

  copyFileSync(copy, join(folder, "longwire.db"));
  execute(join(folder, "longwire.db"), restore);
  const restored = await spawnServer({ engine: "sqlite", "data-dir": folder });
  servers.push(restored);
  await restored.publish("news", "after the restore");
  await restored.publish("new", "after the restore");

  const client = await connectClient(restored.url);
  const subscribe = (channel: string, offset: number): Promise<unknown> =>
    client.ask({ type: "subscribe", channel, since: { epoch, offset } });
  expect(await subscribe("news", 1)).toMatchObject({ recovered: true, offset: 1 });
  expect((await client.received("news", 2)).map(({ data }) => data)).toEqual([2, "after the restore"]);
  await client.request({ type: "unsubscribe", channel: "news" });
  expect(await subscribe("news", 3)).toMatchObject({ recovered: false, offset: 3 });
  expect(await subscribe("new", 1)).toMatchObject({ recovered: false, offset: 1 });
  client.terminate();
});
