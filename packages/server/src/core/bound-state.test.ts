import { expect, spyOn, test } from "bun:test";
import { buildCore, type CoreHouse, settle } from "../../test/support/core.ts";
import type { ReplyError } from "../base/failures.ts";
import { BOUND_KEYS_MAX, BOUND_MS } from "./bound-state.ts";

const RESUME_MS = 60_000;

/** Nobody is taken for dead while the clock is moved for hours. */
const PATIENT = { resumeMs: RESUME_MS, pingIntervalMs: 3_600_000, pingTimeoutMs: 1_000_000_000 };

async function valueOf(house: CoreHouse, key: string): Promise<unknown> {
  await settle();
  return await house.control.state(key).catch((error: unknown) => (error as ReplyError).error);
}

async function failureOf(call: Promise<unknown>): Promise<unknown> {
  return await call.catch((error: unknown) => (error as ReplyError).error);
}

async function pass(house: CoreHouse, ms: number): Promise<void> {
  const stepMs = 60_000;
  for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
    house.clock.advance(Math.min(stepMs, leftMs));
    await settle();
  }
}

test("[NB-8] a session's keys stay as long as it is connected, and go when it is sent away", async () => {
  const house = buildCore({ settings: PATIENT });
  const bob = await house.open();
  const { id } = bob.handle;
  expect(await house.control.addSessionState(id, "count", 1)).toBe(1);
  expect(await house.control.addSessionState(id, "count", 1)).toBe(2);
  await house.control.setSessionState(id, "mood", "good");
  await pass(house, 10 * BOUND_MS);
  expect([await valueOf(house, "count"), await valueOf(house, "mood")]).toEqual([2, "good"]);
  await house.control.disconnectSession(id, { reconnect: false });
  expect([await valueOf(house, "count"), await valueOf(house, "mood")]).toEqual(["notFound", "notFound"]);
});

test("[NB-8] a session that is lost has the resume time to come back to its keys", async () => {
  const house = buildCore({ settings: PATIENT });
  const bob = await house.open();
  const { id } = bob.handle;
  await house.control.addSessionState(id, "count", 1);
  await bob.drop();
  house.clock.advance(RESUME_MS - 1);
  const again = await house.open({ session: id });
  await pass(house, 3 * BOUND_MS);
  expect(await house.control.addSessionState(id, "count", 1)).toBe(2);
  // A connection that has been replaced takes nothing along.
  await house.open({ session: id });
  expect(again.connection.goodbye?.disconnect).toBe("replaced");
  await again.drop();
  await pass(house, 3 * BOUND_MS);
  expect(await valueOf(house, "count")).toBe(2);
});

test("[NB-8] a session that does not come back leaves no key behind", async () => {
  for (const resumeMs of [RESUME_MS, 0]) {
    const house = buildCore({ settings: { ...PATIENT, resumeMs } });
    const bob = await house.open();
    await house.control.addSessionState(bob.handle.id, "count", 1);
    await pass(house, 3 * BOUND_MS);
    expect(await valueOf(house, "count")).toBe(1);
    await bob.drop();
    house.clock.advance(resumeMs);
    expect([resumeMs, await valueOf(house, "count")]).toEqual([resumeMs, "notFound"]);
  }
});

test("[NB-8] after a crash they are gone in ten minutes", async () => {
  const house = buildCore({ settings: PATIENT });
  const bob = await house.open();
  await house.control.addSessionState(bob.handle.id, "count", 1);
  await house.control.setSessionState(bob.handle.id, "mood", "good");
  await pass(house, 25 * 60_000);
  house.stop();
  house.clock.advance(600_000);
  expect([await valueOf(house, "count"), await valueOf(house, "mood")]).toEqual(["notFound", "notFound"]);
});

test("[NB-8] a renewal that fails is tried again before the keys run out", async () => {
  const house = buildCore({ settings: PATIENT });
  const bob = await house.open();
  await house.control.addSessionState(bob.handle.id, "count", 1);
  const touch = spyOn(house.engine.state, "touch").mockRejectedValue(new Error("the disk is full"));
  await pass(house, 8.5 * 60_000);
  expect(touch).toHaveBeenCalled();
  touch.mockRestore();
  await pass(house, 60_000);
  expect(await valueOf(house, "count")).toBe(1);
  await pass(house, 2 * BOUND_MS);
  expect(await valueOf(house, "count")).toBe(1);
});

test("[NB-8] a session has so many keys and no more; those it has can be changed", async () => {
  const house = buildCore();
  const { id } = (await house.open()).handle;
  for (let at = 0; at < BOUND_KEYS_MAX; at++) await house.control.addSessionState(id, `key ${at}`, 1);
  expect(await failureOf(house.control.addSessionState(id, "one more", 1))).toBe("limit");
  expect(await failureOf(house.control.setSessionState(id, "one more", 1))).toBe("limit");
  expect(await house.control.addSessionState(id, "key 7", 1)).toBe(2);
  expect(await valueOf(house, "one more")).toBe("notFound");
});

test("[NB-8] who is not connected has no keys", async () => {
  const house = buildCore();
  expect(await failureOf(house.control.addSessionState("nobody", "count", 1))).toBe("notFound");
  expect(await failureOf(house.control.setSessionState("nobody", "count", 1))).toBe("notFound");
  expect(await valueOf(house, "count")).toBe("notFound");
});

test("[NB-8] what could not be added to does not go with the session", async () => {
  const house = buildCore();
  const { id } = (await house.open()).handle;
  await house.control.setState("name", "text", undefined);
  expect(await failureOf(house.control.addSessionState(id, "name", 1))).toBe("badField");
  await settle();
  await house.control.disconnectSession(id, { reconnect: false });
  expect(await valueOf(house, "name")).toBe("text");
});

test("[NB-8] a session that is sent away while its key is being set leaves none", async () => {
  const house = buildCore();
  const { id } = (await house.open()).handle;
  const adding = house.control.addSessionState(id, "count", 1);
  await house.control.disconnectSession(id, { reconnect: false });
  await adding;
  expect(await valueOf(house, "count")).toBe("notFound");
  await house.open({ session: id });
  expect(await valueOf(house, "count")).toBe("notFound");
});
