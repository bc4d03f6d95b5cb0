import { afterAll, expect, test } from "bun:test";
import { SqliteFolders } from "../../../test/support/sqlite.ts";
import type { SqliteBroker } from "./broker.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

test("[SU-12] channels that keep nothing and were never published to leave nothing behind when their followers go", async () => {
  const engine = folders.open(folders.make(), { settings: { retentionOf: () => ({ size: 0, ttlMs: 1000 }) } });
  const broker = engine.broker as SqliteBroker;
  for (let n = 0; n < 1000; n++) {
    const top = await broker.subscribe(`room:${n}`);
    const page = await broker.history(`room:${n}`, { from: top, limit: 1, bytesMax: 1 });
    expect(page).toMatchObject({ reached: true, top });
    broker.unsubscribe(`room:${n}`);
  }
  expect(broker.shelf.channels.size).toBe(0);
  // The first publication takes up the numbering that a follower was told.
  const top = await broker.subscribe("room");
  expect(await broker.publish("room", { data: "1", keep: true })).toMatchObject({ epoch: top.epoch, offset: 1 });
  await engine.close();
});

test("[EN-16] an epoch in which nothing is kept does not outlive the process", async () => {
  const folder = folders.make();
  const settings = { retentionOf: () => ({ size: 0, ttlMs: 1000 }) };
  const engine = folders.open(folder, { settings });
  const before = await engine.broker.subscribe("room");
  await engine.close();
  const again = folders.open(folder, { settings });
  expect((await again.broker.subscribe("room")).epoch).not.toBe(before.epoch);
  await again.close();
});
