/** Workers and supervisors as processes that are killed and halted. */
import { afterEach, expect, test } from "bun:test";
import { dirname, join } from "node:path";
import { settingsOf } from "../../../test/support/engine.ts";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { buildRemote, type RemoteHouse, until } from "../../../test/support/remote.ts";
import { type RemoteChild, startRemoteChild } from "../../../test/support/remote-child.ts";
import type { Retention } from "../../ports/broker.ts";
import { openMemoryEngine } from "../memory/engine.ts";

let house: RemoteHouse;
const children: RemoteChild[] = [];

const retentionOf = (): Retention => ({ size: 1_000_000, ttlMs: 3_600_000 });

async function build(): Promise<void> {
  house = await buildRemote((sink) => openMemoryEngine(settingsOf({ retentionOf }), sink, new FakeClock()));
}

function start(...args: Parameters<typeof startRemoteChild>): RemoteChild {
  const child = startRemoteChild(...args);
  children.push(child);
  return child;
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.process.kill("SIGKILL");
    await child.ended();
  }
  await house.close();
});

test("[WK-3] what a killed worker was told is kept is kept, and the others have all of it in order", async () => {
  await build();
  const watcher = await house.worker();
  await watcher.engine.broker.subscribe("x");
  const child = start({ role: "worker", path: house.path });
  await until(() => watcher.engine.bus.peers().includes("child1"));
  await child.said(200);
  child.process.kill("SIGKILL");
  const offsets = (await child.ended()).slice(1).map(Number);
  await until(() => watcher.engine.bus.peers().length === 0);
  await watcher.caughtUp();
  const { top, publications } = await watcher.engine.broker.history("x", {
    from: "earliest",
    limit: 1_000_000,
    bytesMax: 1e9,
  });
  expect(offsets).toEqual(Array.from(offsets, (_, at) => at + 1));
  expect(top.offset).toBeGreaterThanOrEqual(offsets.length);
  expect(publications.map(({ data }) => data)).toEqual(Array.from({ length: top.offset }, (_, at) => `"${at + 1}"`));
  expect(watcher.sink.delivered.map(({ publication }) => publication)).toEqual([...publications]);
  expect(await watcher.engine.broker.publish("x", { data: "1", keep: true })).toMatchObject({ followers: 1 });
});

test("[WK-9] the people of a killed worker leave after the delay", async () => {
  await build();
  const watcher = await house.worker();
  await watcher.engine.broker.subscribe("x");
  const child = start({ role: "worker", path: house.path, isQuiet: true });
  await child.said(1);
  expect(await watcher.engine.presence.count("x")).toMatchObject({ sessions: 1 });
  child.process.kill("SIGKILL");
  await child.ended();
  await until(() => watcher.engine.bus.peers().length === 0);
  expect(await watcher.engine.presence.count("x")).toMatchObject({ sessions: 1 });
  house.clock.advance(3_000);
  expect(await watcher.engine.presence.count("x")).toMatchObject({ sessions: 0 });
  expect(watcher.sink.events.map(({ type }) => type)).toEqual(["join", "leave"]);
});

test("[WK-4] a halted worker is given up for its silence, and one that is sent much for what it leaves untaken", async () => {
  await build();
  const watcher = await house.worker();
  const quiet = start({ role: "worker", path: house.path, mark: "quiet1", isQuiet: true, channel: "y" });
  const busy = start({ role: "worker", path: house.path, mark: "busy01", isQuiet: true });
  await Promise.all([quiet.said(1), busy.said(1)]);
  // Both answer, as long as they can.
  for (let second = 0; second < 12; second++) {
    house.clock.advance(1_000);
    await watcher.caughtUp();
    await Bun.sleep(40);
  }
  expect(house.stuck).toEqual([]);
  for (const child of [quiet, busy]) child.process.kill("SIGSTOP");
  const data = JSON.stringify("x".repeat(1024 * 1024));
  let published = 0;
  for (; published < 100 && house.stuck.length === 0; published++)
    await watcher.engine.broker.publish("x", { data, keep: false });
  expect(house.stuck).toEqual([{ mark: "busy01", pid: busy.process.pid, reason: "it does not take what it is sent" }]);
  for (let second = 0; second < 11; second++) {
    house.clock.advance(1_000);
    await watcher.caughtUp();
  }
  expect(house.stuck.slice(1)).toEqual([{ mark: "quiet1", pid: quiet.process.pid, reason: "it does not answer" }]);
  // They were cut off: if nobody kills them, they notice it by themselves.
  for (const child of [quiet, busy]) {
    child.process.kill("SIGCONT");
    expect((await child.ended()).at(-1)).toBe("lost");
  }
});

test("[WK-7] a killed supervisor's workers know it at once, and the next one takes its place", async () => {
  await build();
  const path = join(dirname(house.path), "child.sock");
  const supervisor = start({ role: "supervisor", path });
  await supervisor.said(1);
  const worker = start({ role: "worker", path });
  await worker.said(50);
  supervisor.process.kill("SIGKILL");
  expect((await worker.ended()).at(-1)).toBe("lost");
  await start({ role: "supervisor", path }).said(1);
  await start({ role: "worker", path }).said(2);
});
