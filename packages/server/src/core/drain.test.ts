import { expect, test } from "bun:test";
import { buildCore, type CoreSession, settle, SETTINGS } from "../../test/support/core.ts";

const COUNT = 1000;

async function crowd(house: ReturnType<typeof buildCore>): Promise<CoreSession[]> {
  const sessions: CoreSession[] = [];
  for (let at = 0; at < COUNT; at++) {
    const session = await house.open({ connect: false });
    house.gateway.receive(session.handle, JSON.stringify({ type: "connect" }));
    sessions.push(session);
  }
  await settle();
  return sessions;
}

const goodbyesOf = ({ connection }: CoreSession): { after?: number }[] =>
  connection.frames().filter(({ type }) => type === "disconnect") as { after?: number }[];

const toldOf = (sessions: readonly CoreSession[]): number =>
  sessions.filter((session) => goodbyesOf(session).length > 0).length;

test("[ST-9] clients are told in batches, once each, with times of their own; those not told yet are served", async () => {
  const house = buildCore();
  const sessions = await crowd(house);
  const last = sessions.at(-1);
  if (last === undefined) throw new Error("nobody came");
  const drained = house.drain(10_000);
  const steps: number[] = [];
  for (let step = 0; toldOf(sessions) < COUNT && step < 200; step++) {
    await settle();
    steps.push(toldOf(sessions));
    if (step === 3) {
      await last.say({ type: "publish", id: 7, channel: "a", data: 1 });
      expect(last.connection.frames().at(-1)).toMatchObject({ type: "published", id: 7 });
    }
    house.clock.advance(50);
  }
  expect(steps.length).toBeGreaterThan(10);
  for (const [at, told] of steps.entries()) expect(told - (steps[at - 1] ?? 0)).toBeLessThanOrEqual(COUNT / 10);
  for (const session of sessions) expect(goodbyesOf(session)).toHaveLength(1);
  const after = sessions.map((session) => goodbyesOf(session)[0]?.after ?? -1);
  expect(Math.min(...after)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...after)).toBeLessThanOrEqual(COUNT);
  for (let quarter = 0; quarter < 4; quarter++) {
    const share = after.filter((ms) => ms >= (quarter * COUNT) / 4 && ms < ((quarter + 1) * COUNT) / 4).length;
    expect(share).toBeGreaterThan(COUNT / 8);
  }
  for (const session of sessions) house.gateway.closed(session.handle, 1000, "");
  house.clock.advance(20);
  await drained;
});

test("[ST-9] however many there are, half of the time is for telling; those who have not gone by its end are cut", async () => {
  const house = buildCore();
  const sessions = await crowd(house);
  const drained = house.drain(200);
  for (let step = 0; step < 2; step++) {
    await settle();
    house.clock.advance(50);
  }
  await settle();
  expect(toldOf(sessions)).toBe(COUNT);
  for (let step = 0; step < 10; step++) {
    house.clock.advance(20);
    await settle();
  }
  await drained;
  for (const { connection } of sessions) expect(connection.isCut).toBeTrue();
});

test("[ST-11] in a hurry everybody is told at once, and nobody is waited for", async () => {
  const house = buildCore();
  const sessions = await crowd(house);
  const hurry = new AbortController();
  const drained = house.drain(60_000, hurry.signal);
  await settle();
  expect(toldOf(sessions)).toBeLessThan(COUNT / 10);
  hurry.abort();
  await settle();
  expect(toldOf(sessions)).toBe(COUNT);
  for (let step = 0; step < 20; step++) {
    house.clock.advance(20);
    await settle();
  }
  await drained;
});

test("[TL-6] settings that are taken over hold for those who are there; [TL-9] subscriptions stay", async () => {
  const house = buildCore({ settings: { ...SETTINGS, subscriptionsMax: 2 } });
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "subscribe", channel: "a" });
  await bob.say({ type: "subscribe", channel: "b" });
  const { limits, channels } = SETTINGS;
  house.reload({
    ...SETTINGS,
    subscriptionsMax: 3,
    limits: { ...limits, publishesPerSecond: 1 },
    channels: { ...channels, subscribe: "nobody" },
    namespaces: new Map([["open", { ...channels, start: "earliest" as const }]]),
  });
  await bob.say({ type: "subscribe", id: 1, channel: "c" });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", id: 1, code: 109 });
  await house.publish("open:a", "before");
  await bob.say({ type: "subscribe", id: 2, channel: "open:a" });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "message", channel: "open:a", offset: 1 });
  await bob.say({ type: "subscribe", id: 3, channel: "open:b" });
  expect(bob.connection.frames().at(-1)).toMatchObject({
    type: "error",
    id: 3,
    message: expect.stringContaining("at most 3"),
  });
  await house.publish("a", "still");
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "message", channel: "a", data: "still" });
  await bob.say({ type: "publish", id: 4, channel: "open:a", data: 1 });
  await bob.say({ type: "publish", id: 5, channel: "open:a", data: 1 });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", id: 5, code: 202 });
});

test("[TL-6] a channel that is followed goes by its options of today", async () => {
  const house = buildCore();
  const ann = await house.open({ user: "ann" });
  await ann.say({ type: "subscribe", channel: "a" });
  await house.publish("a", "first");
  house.reload({ ...SETTINGS, channels: { ...SETTINGS.channels, start: "earliest" } });
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "subscribe", channel: "a" });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "message", data: "first" });
});
