import { afterAll, describe, expect, test } from "bun:test";
import { draftOf, RecordingSink } from "../../../test/support/engine.ts";
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

describe("a retention that changes while running", () => {
  let size = 0;
  const settings = { retentionOf: () => ({ size, ttlMs: 60_000 }) };

  // Who is followed before the first publication is noted with the others of the same kind, kept or not: the first publication looked among the wrong ones.
  test.each([
    [0, 10],
    [10, 0],
  ])("[EN-3] from %d to %d: whoever followed a channel before its first publication gets it", async (before, after) => {
    size = before;
    const sink = new RecordingSink();
    const engine = folders.open(folders.make(), { settings, sink });
    await engine.broker.subscribe("followed");
    await engine.broker.subscribe("left");
    size = after;
    engine.broker.unsubscribe("left");
    for (const channel of ["followed", "left"]) await engine.broker.publish(channel, draftOf("1"));
    expect(sink.offsets("followed")).toEqual([1]);
    expect(sink.offsets("left")).toEqual([]);
    await engine.close();
  });

  // Without a row, but in the epoch of all channels that were never published to, which outlives the process.
  test("[P2] what only memory has numbered is not named again after a restart", async () => {
    size = 10;
    const folder = folders.make();
    const engine = folders.open(folder, { settings });
    await engine.broker.publish("a", draftOf("opens it", { keep: false }));
    size = 0;
    const first = await engine.broker.publish("a", draftOf("first"));
    expect(first.offset).toBe(1);
    await engine.close();
    size = 10;
    const restarted = folders.open(folder, { settings });
    const other = await restarted.broker.publish("a", draftOf("other"));
    expect(other.offset).toBe(1);
    expect(other.epoch).not.toBe(first.epoch);
    await restarted.close();
  });

  // The epoch was read after the commit, when the second publish had begun another.
  test("[PU-4] an answer names the epoch in which its key is remembered", async () => {
    size = 10;
    const engine = folders.open(folders.make(), { settings });
    await engine.broker.publish("a", draftOf("1"));
    size = 0;
    const keyed = draftOf("not kept", { keep: false, key: "k" });
    const [first] = await Promise.all([engine.broker.publish("a", keyed), engine.broker.publish("a", draftOf("2"))]);
    expect(await engine.broker.publish("a", keyed)).toEqual({ ...first, repeated: true });
    await engine.close();
  });
});
