/** What survives: a stop in order, SIGKILL, and the loss of power. */
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import type { Position } from "@longwire/protocol";
import { draftOf, RecordingSink } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { type Acknowledged, CHANNELS } from "../../../test/support/sqlite-child.ts";
import { SqliteFolders } from "../../../test/support/sqlite.ts";
import { systemClock } from "../../base/clock.ts";
import type { Broker } from "../../ports/broker.ts";
import type { Engine } from "../../ports/engine.ts";

const folders = new SqliteFolders();
afterAll(() => folders.remove());

const PAGE = { limit: 1_000_000, bytesMax: 1_000_000_000 };
const LONG = { retentionOf: () => ({ size: 1_000_000, ttlMs: 3_600_000 }) };

async function offsetsOf(broker: Broker, channel: string): Promise<number[]> {
  const { publications } = await broker.history(channel, { from: "earliest", ...PAGE });
  return publications.map(({ offset }) => offset);
}

async function reaches(broker: Broker, channel: string, epoch: string, offset: number): Promise<boolean> {
  return (await broker.history(channel, { from: { epoch, offset }, ...PAGE })).reached;
}

function open(folder: string, boot: string): Engine {
  return folders.open(folder, { boot, clock: systemClock, settings: LONG });
}

async function expectAll(broker: Broker, lines: readonly Acknowledged[], epochOf: (line: Acknowledged) => string) {
  for (const channel of CHANNELS) {
    const acknowledged = lines.filter((line) => line.channel === channel);
    expect(acknowledged.map(({ offset }) => offset)).toEqual(acknowledged.map((_, index) => index + 1));
    const { top, publications } = await broker.history(channel, { from: "earliest", ...PAGE });
    expect(publications.length).toBe(top.offset);
    expect(top.offset).toBeGreaterThanOrEqual(acknowledged.length);
    for (const [index, { offset, data }] of publications.entries()) {
      expect([offset, data]).toEqual([index + 1, `"${index + 1}"`]);
    }
    for (const line of acknowledged) expect(epochOf(line)).toBe(top.epoch);
    const next = await broker.publish(channel, draftOf("next"));
    expect(next).toEqual({ ...top, offset: top.offset + 1, repeated: false });
  }
}

describe("after a stop in order", () => {
  test("[EN-12] epoch, offsets, history, keys, state and positions are there", async () => {
    const folder = folders.make();
    const clock = new FakeClock();
    const before = folders.open(folder, { clock });
    const draft = draftOf("x", { key: "k", name: "n", user: "bob", session: "s", exclude: "e" });
    const first = await before.broker.publish("a", draft);
    await before.broker.publish("a", draftOf("y"));
    const whole = await before.broker.history("a", { from: "earliest", ...PAGE });
    const untouched = await before.broker.subscribe("never published to");
    await before.state.set("value", "1", undefined);
    await before.state.set("expiring", "2", 10_000);
    await before.state.acknowledge("a", "bob", first);
    await before.close();

    clock.advance(5_000);
    // Another boot does not matter after a stop in order.
    const after = folders.open(folder, { clock, boot: "second" });
    expect(await after.broker.history("a", { from: "earliest", ...PAGE })).toEqual(whole);
    expect(await after.broker.publish("a", draft)).toEqual({ ...first, repeated: true });
    expect(await after.broker.publish("a", draftOf("z"))).toEqual({ ...first, offset: 3 });
    expect(await after.broker.subscribe("never published to")).toEqual(untouched);
    expect(await after.state.get("value")).toBe("1");
    expect(await after.state.get("expiring")).toBe("2");
    expect(await after.state.position("a", "bob")).toEqual({ epoch: first.epoch, offset: 1 });
    clock.advance(5_000);
    expect(await after.state.get("expiring")).toBeUndefined();
    await after.close();
  });

  test("one file and the lock are left", async () => {
    const folder = folders.make();
    const engine = folders.open(folder);
    await engine.broker.publish("a", draftOf("x"));
    await engine.close();
    expect(readdirSync(folder).toSorted()).toEqual(["longwire.db", "longwire.lock"]);
  });

  test("what was accepted before close is kept, what comes after is unavailable", async () => {
    const folder = folders.make();
    const engine = folders.open(folder);
    const accepted = engine.broker.publish("a", draftOf("x"));
    const closing = engine.close();
    const refused = engine.broker.publish("a", draftOf("y")).catch((error: unknown) => error);
    expect(await accepted).toMatchObject({ offset: 1 });
    expect(await refused).toMatchObject({ error: "unavailable" });
    await closing;
    const again = folders.open(folder);
    expect(await offsetsOf(again.broker, "a")).toEqual([1]);
    await again.close();
  });

  test("[EN-5] [EN-7] what was trimmed or cleared does not come back, its numbering goes on", async () => {
    const folder = folders.make();
    const clock = new FakeClock();
    const settings = { retentionOf: (name: string) => ({ size: name === "short" ? 2 : 100, ttlMs: 60_000 }) };
    const before = folders.open(folder, { clock, settings });
    for (const channel of ["short", "cleared", "expired"]) {
      for (let count = 0; count < 5; count++) await before.broker.publish(channel, draftOf("x"));
    }
    await before.broker.clear("cleared");
    await before.broker.publish("cleared", draftOf("y"));
    const tops = await before.broker.channels({ limit: 10 });
    await before.close();
    const between = folders.open(folder, { clock, settings });
    expect(await offsetsOf(between.broker, "short")).toEqual([4, 5]);
    expect(await offsetsOf(between.broker, "cleared")).toEqual([6]);
    clock.advance(60_000);
    await between.state.set("write", "now", undefined);
    await between.close();
    const after = folders.open(folder, { clock, settings });
    expect(await after.broker.channels({ limit: 10 })).toEqual(tops.map((one) => ({ ...one, kept: 0 })));
    expect(await after.broker.publish("expired", draftOf("x"))).toMatchObject({ offset: 6 });
    await after.close();
  });

  test("[PU-4] a key is forgotten when its window ends, over a restart too", async () => {
    const folder = folders.make();
    const clock = new FakeClock();
    const draft = draftOf("x", { key: "k" });
    const before = folders.open(folder, { clock });
    await before.broker.publish("a", draft);
    await before.close();
    clock.advance(300_000);
    const after = folders.open(folder, { clock });
    expect(await after.broker.publish("a", draft)).toMatchObject({ offset: 2, repeated: false });
    clock.advance(301_000);
    await after.state.set("write", "now", undefined);
    await after.close();
    const rows = new Database(join(folder, "longwire.db"));
    expect(rows.prepare("SELECT offset FROM keys").values()).toEqual([]);
    rows.close(true);
  });

  test("[EN-16] a forgotten channel stays forgotten", async () => {
    const folder = folders.make();
    const clock = new FakeClock();
    const settings = { positionTtlMs: 600_000 };
    const before = folders.open(folder, { clock, settings });
    const { epoch } = await before.broker.publish("a", draftOf("x"));
    await before.state.acknowledge("a", "bob", { epoch, offset: 1 });
    clock.advance(700_000);
    await before.state.set("write", "now", undefined);
    expect(await before.broker.channels({ limit: 10 })).toEqual([]);
    await before.close();
    const after = folders.open(folder, { clock, settings });
    expect(await after.state.position("a", "bob")).toBeUndefined();
    const again = await after.broker.publish("a", draftOf("x"));
    expect(again.offset).toBe(1);
    expect(again.epoch).not.toBe(epoch);
    await after.close();
  });

  test("a channel that keeps nothing begins a new epoch, also when it kept something before", async () => {
    const folder = folders.make();
    const engine = folders.open(folder);
    const kept = await engine.broker.publish("a", draftOf("x"));
    await engine.close();
    const none = { retentionOf: () => ({ size: 0, ttlMs: 60_000 }) };
    const second = folders.open(folder, { settings: none });
    const numbered = await second.broker.publish("a", draftOf("y"));
    expect(numbered.epoch).not.toBe(kept.epoch);
    await second.close();
    const third = folders.open(folder, { settings: none });
    expect((await third.broker.publish("a", draftOf("z"))).epoch).not.toBe(numbered.epoch);
    await third.close();
  });

  test("retention taken away while running: a new epoch that the old one reaches", async () => {
    let size = 100;
    const settings = { retentionOf: () => ({ size, ttlMs: 60_000 }) };
    const folder = folders.make();
    const engine = folders.open(folder, { settings });
    const kept = await engine.broker.publish("a", draftOf("x"));
    size = 0;
    const numbered = await engine.broker.publish("a", draftOf("y"));
    expect(numbered.offset).toBe(2);
    expect(numbered.epoch).not.toBe(kept.epoch);
    size = 100;
    const again = await engine.broker.publish("a", draftOf("z"));
    expect(again).toMatchObject({ epoch: numbered.epoch, offset: 3 });
    expect(await offsetsOf(engine.broker, "a")).toEqual([3]);
    await engine.close();
    const restarted = folders.open(folder, { settings });
    expect(await restarted.broker.publish("a", draftOf("z"))).toMatchObject({ epoch: numbered.epoch, offset: 4 });
    await restarted.close();
  });

  test("bodies beyond the budget are read from the database, before and after a restart", async () => {
    const folder = folders.make();
    const hotBytesMax = 2_000;
    const expected = Array.from({ length: 50 }, (_, index) => JSON.stringify(`${index}`.padStart(100, "x")));
    let engine = folders.open(folder, { hotBytesMax });
    for (const data of expected) await engine.broker.publish("a", { data, keep: true });
    for (let round = 0; round < 2; round++) {
      const page = await engine.broker.history("a", { from: "earliest", ...PAGE });
      expect(page.publications.map(({ data }) => data)).toEqual(expected);
      await engine.close();
      engine = folders.open(folder, { hotBytesMax });
    }
    await engine.close();
  });
});

describe("after SIGKILL", () => {
  test("[EN-12] [P2] in the middle of publishing: every acknowledged publication is there and offsets go on", async () => {
    const folder = folders.make();
    const child = folders.start(folder);
    await child.acknowledged(3_000);
    const lines = await child.kill();
    expect(lines.length).toBeGreaterThanOrEqual(3_000);
    const engine = open(folder, "first");
    await expectAll(engine.broker, lines, ({ epoch }) => epoch);
    expect(await engine.state.get("started")).toBe('"yes"');
    expect(await engine.state.position("c0", "bob")).toMatchObject({ offset: 1 });
    expect(await engine.broker.publish("keyed", draftOf("x", { key: "k" }))).toMatchObject({ repeated: true });
    await engine.close();
  }, 60_000);

  test("[EN-12] the numbering of a channel whose history has expired goes on", async () => {
    const folder = folders.make();
    const clock = new FakeClock();
    const settings = { retentionOf: () => ({ size: 100, ttlMs: 5_000 }) };
    const running = folders.open(folder, { clock, settings });
    const publishes = ["1", "2", "3"].map((data) => running.broker.publish("a", draftOf(data)));
    const { epoch } = (await Promise.all(publishes))[0] as Position;
    clock.advance(10_000);
    await running.state.set("write", "now", undefined);
    const copy = copyOfRunning(folder);
    const rows = new Database(join(copy, "longwire.db"));
    expect(rows.prepare("SELECT count(*) FROM publications").values()).toEqual([[0]]);
    rows.close(true);
    const after = folders.open(copy, { clock, settings });
    expect(await after.broker.publish("a", draftOf("4"))).toEqual({ epoch, offset: 4, repeated: false });
    await after.close();
    await running.close();
  });

  test("[EN-7] a history that was cleared stays cleared, its rows deleted or not", async () => {
    const folder = folders.make();
    const running = folders.open(folder);
    const { epoch } = await running.broker.publish("a", draftOf("1"));
    await running.broker.publish("a", draftOf("2"));
    await running.broker.clear("a");
    const copy = copyOfRunning(folder);
    const after = folders.open(copy);
    expect(await offsetsOf(after.broker, "a")).toEqual([]);
    expect(await after.broker.publish("a", draftOf("3"))).toEqual({ epoch, offset: 3, repeated: false });
    await after.close();
    await running.close();
  });

  test("[EN-13] sync normal, another boot: a new epoch, the old one reaches up to its top", async () => {
    const folder = folders.make();
    const child = folders.start(folder, { count: 20 });
    await child.acknowledged(60);
    const [line] = await child.kill();
    const { epoch } = line as Acknowledged;
    const engine = open(folder, "second");
    const { broker } = engine;
    const { top } = await broker.history("c0", { from: "latest", ...PAGE });
    expect(top.offset).toBe(20);
    expect(top.epoch).not.toBe(epoch);
    expect(await broker.publish("c0", draftOf("next"))).toMatchObject({ epoch: top.epoch, offset: 21 });
    expect(await reaches(broker, "c0", epoch, 20)).toBe(true);
    expect(await reaches(broker, "c0", epoch, 0)).toBe(true);
    expect(await reaches(broker, "c0", epoch, 21)).toBe(false);
    expect(await reaches(broker, "c0", top.epoch, 21)).toBe(true);
    await engine.close();
    // The link outlives the next restart.
    const later = open(folder, "second");
    expect(await reaches(later.broker, "c0", epoch, 20)).toBe(true);
    expect(await reaches(later.broker, "c0", epoch, 21)).toBe(false);
    await later.close();
  }, 60_000);

  test("[EN-13] sync full, another boot: the epoch stays", async () => {
    const folder = folders.make();
    const child = folders.start(folder, { count: 20, sync: "full" });
    await child.acknowledged(60);
    const lines = await child.kill();
    const engine = open(folder, "second");
    await expectAll(engine.broker, lines, ({ epoch }) => epoch);
    await engine.close();
  }, 60_000);

  test("[EN-13] power loss that cuts the end: what is left is recovered, what was beyond is not taken for it", async () => {
    const folder = folders.make();
    const child = folders.start(folder, { count: 500 });
    await child.acknowledged(1_500);
    const [line] = await child.kill();
    const { epoch } = line as Acknowledged;
    const log = join(folder, "longwire.db-wal");
    truncateSync(log, Math.floor(statSync(log).size / 2));
    const engine = open(folder, "second");
    const { broker } = engine;
    const { top, publications } = await broker.history("c0", { from: "earliest", ...PAGE });
    expect(top.offset).toBeGreaterThan(0);
    expect(top.offset).toBeLessThan(500);
    expect(publications.map(({ data }) => data)).toEqual(publications.map((_, index) => `"${index + 1}"`));
    expect(await reaches(broker, "c0", epoch, top.offset)).toBe(true);
    expect(await reaches(broker, "c0", epoch, top.offset + 1)).toBe(false);
    await broker.publish("c0", draftOf("other data"));
    expect(await reaches(broker, "c0", epoch, top.offset + 1)).toBe(false);
    await engine.close();
  }, 60_000);

  test("[EN-13] the mark of a stop in order is gone from the disk before anything new is given out", async () => {
    const folder = folders.make();
    const clean = folders.open(folder, { clock: systemClock, settings: LONG });
    const { epoch } = await clean.broker.publish("c0", draftOf("1"));
    await clean.close();
    const running = folders.open(folder, { clock: systemClock, settings: LONG });
    const copy = copyOfRunning(folder);
    await running.close();
    const cut = open(copy, "second");
    expect((await cut.broker.subscribe("c0")).epoch).not.toBe(epoch);
    await cut.close();
  });
});

/** What another process would find if this one were killed now. */
function copyOfRunning(folder: string): string {
  const copy = folders.make();
  // By another process: closing a second descriptor of the files in this one would free the locks it has on them.
  const files = ["longwire.db", "longwire.db-wal"].map((file) => join(folder, file));
  expect(Bun.spawnSync(["cp", ...files, copy]).exitCode).toBe(0);
  return copy;
}

test("history reads, sink and offsets agree after a restart in the middle of a subscription", async () => {
  const folder = folders.make();
  const before = folders.open(folder);
  const position = await before.broker.subscribe("a");
  await before.broker.publish("a", draftOf("1"));
  await before.close();
  const sink = new RecordingSink();
  const after = folders.open(folder, { sink });
  await after.broker.subscribe("a");
  await after.broker.publish("a", draftOf("2"));
  expect(sink.offsets("a")).toEqual([2]);
  const { publications } = await after.broker.history("a", { from: position, ...PAGE });
  expect(publications.map(({ data }) => data)).toEqual(['"1"', '"2"']);
  await after.close();
});

test("[EN-12] [EN-16] the epoch of channels nobody has published to outlives a restart, and ends with a channel forgotten in it", async () => {
  const HOUR_MS = 3_600_000;
  const folder = folders.make();
  const clock = new FakeClock();
  const settings = { positionTtlMs: HOUR_MS };
  const first = folders.open(folder, { clock, settings });
  const idle = await first.broker.subscribe("idle");
  const told = await first.broker.publish("a", draftOf("one"));
  expect(told.epoch).toBe(idle.epoch);
  await first.close();

  const second = folders.open(folder, { clock, settings });
  expect(await second.broker.subscribe("idle")).toEqual(idle);
  // Past the retention, the numbering's time to live and the grace after a restart; the forgetting is a commit of its own.
  for (let hours = 0; hours < 4; hours++) {
    clock.advance(HOUR_MS);
    await Bun.sleep(20);
  }
  await second.close();

  const third = folders.open(folder, { clock, settings });
  const again = await third.broker.publish("a", draftOf("another life"));
  expect(again.offset).toBe(1);
  expect(again.epoch).not.toBe(told.epoch);
  await third.close();
});
