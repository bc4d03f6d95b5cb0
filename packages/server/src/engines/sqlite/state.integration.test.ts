import { afterAll, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { settle } from "../../../test/support/core.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

test("[EN-9] expired keys are deleted as fast as they expire: a storm of connections leaves one for each", async () => {
  const folder = folders.make();
  const clock = new FakeClock();
  const engine = folders.open(folder, { clock });
  await Promise.all(Array.from({ length: 5000 }, (_, n) => engine.state.set(`session/${n}`, "{}", 1000)));
  await engine.state.set("kept", "1", undefined);
  clock.advance(2000);
  await settle();
  const reader = new Database(join(folder, "longwire.db"), { readonly: true });
  expect(reader.prepare("SELECT key FROM state").values()).toEqual([["kept"]]);
  reader.close();
  await engine.close();
});
