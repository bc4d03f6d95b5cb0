import { describe, expect, spyOn, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { buildCore, type CoreHouse, type CoreSession, settle } from "../../test/support/core.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";

test("[CO-13] two connections that ask for one session in the same moment: the later has it, the other ends", async () => {
  const house = buildCore();
  const page = await house.open();
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  await page.drop();
  // Both find it in the store before either has taken it up: without a second look both would be the session.
  const text = JSON.stringify({ type: "connect", session: id });
  const connections = [new FakeConnection(), new FakeConnection()];
  const handles = connections.map((connection) => house.gateway.open(connection, nativeProtocol(16), { channels: [] }));
  for (const handle of handles) house.gateway.receive(handle, text);
  await settle();
  expect(connections.map(({ goodbye }) => goodbye?.disconnect)).toEqual(["replaced", undefined]);
  expect((await house.control.user("bob")).sessions.map(({ session }) => session)).toEqual([id]);
});

test("[CO-11] what the application gave a session is kept over a resume for a crash that comes later", async () => {
  const house = buildCore({ settings: { resumeMs: 60_000, pingIntervalMs: 3_600_000 } });
  const page = await house.open();
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  await page.drop();
  await house.open({ session: id });
  // The record of the drop has run out; the process dies now, and nobody has said goodbye.
  house.clock.advance(120_000);
  expect(await house.engine.state.get(`session/${id}`)).toBeString();
});

test("[CO-11] what a session was given is kept for a crash however long it has been connected", async () => {
  const house = buildCore({ settings: { pingIntervalMs: 3_600_000, pingTimeoutMs: 1_000_000_000 } });
  const page = await house.open();
  const other = await house.open();
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  for (let hour = 0; hour < 60; hour++) {
    house.clock.advance(3_600_000);
    await settle();
  }
  expect(await house.engine.state.get(`session/${id}`)).toContain("bob");
  // Who was given nothing has nothing to lose, and costs the store nothing.
  expect(await house.engine.state.get(`session/${other.handle.id}`)).toBeUndefined();
  await house.control.disconnectSession(id, { reconnect: false });
  house.clock.advance(100_000_000);
  await settle();
  expect(await house.engine.state.get(`session/${id}`)).toBeUndefined();
});

test("[CO-11] a renewal that fails is tried again before what is kept runs out", async () => {
  const house = buildCore({ settings: { pingIntervalMs: 3_600_000, pingTimeoutMs: 1_000_000_000 } });
  const page = await house.open();
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  const set = spyOn(house.engine.state, "set").mockRejectedValue(new Error("the disk is full"));
  house.clock.advance(50_000_000);
  await settle();
  expect(set).toHaveBeenCalled();
  set.mockRestore();
  house.clock.advance(10_000_000);
  await settle();
  house.clock.advance(40_000_000);
  expect(await house.engine.state.get(`session/${id}`)).toContain("bob");
});

test("[CO-11] where sessions are not resumed, nothing of them is kept", async () => {
  const house = buildCore({ settings: { resumeMs: 0 } });
  const page = await house.open();
  await house.control.bindUser(page.handle.id, "bob");
  await page.drop();
  const again = await house.open({ session: page.handle.id });
  expect(again.connection.frames()[0]).toMatchObject({ type: "connected", resumed: false });
});

test("[BY-9] a session that is sent away while the application gives it a channel cannot be resumed", async () => {
  const house = buildCore();
  const page = await house.open();
  const { id } = page.handle;
  const given = house.control.subscribeSession(id, "vip");
  await house.control.disconnectSession(id, { reconnect: false });
  await given;
  await settle();
  expect(await house.engine.state.get(`session/${id}`)).toBeUndefined();
});

const RESUME_MS = 60_000;

async function poll(house: CoreHouse, session?: string): Promise<CoreSession> {
  const page = await house.open(session === undefined ? {} : { session });
  await page.say({ type: "subscribe", channel: "a" });
  return page;
}

function resumedOf({ connection }: CoreSession): unknown {
  const [greeting] = connection.frames();
  return greeting?.type === "connected" ? greeting.resumed : undefined;
}

describe("a client that polls: a session of a few seconds, again and again", () => {
  test("[OW-5] it is resumed at every poll, and the store is written to once in a while", async () => {
    const house = buildCore({ settings: { resumeMs: RESUME_MS } });
    const set = spyOn(house.engine.state, "set");
    const first = await poll(house);
    await first.drop();
    for (let n = 0; n < 100; n++) {
      house.clock.advance(5000);
      const page = await poll(house, first.handle.id);
      expect(resumedOf(page)).toBe(true);
      await page.drop();
    }
    // 500 seconds: the first end, the second, and then one for every half of the resume time.
    expect(set.mock.calls.length).toBeLessThanOrEqual(2 + Math.ceil(500_000 / (RESUME_MS / 2)));
    set.mockRestore();
  });

  test("[CO-11] whenever it stops polling, there is the whole resume time to come back", async () => {
    for (let polls = 0; polls < 8; polls++) {
      const house = buildCore({ settings: { resumeMs: RESUME_MS } });
      const first = await poll(house);
      await first.drop();
      for (let n = 0; n < polls; n++) {
        house.clock.advance(7000);
        const page = await poll(house, first.handle.id);
        await page.drop();
      }
      house.clock.advance(RESUME_MS - 1);
      expect([polls, resumedOf(await poll(house, first.handle.id))]).toEqual([polls, true]);
    }
  });

  test("[CO-12] it cannot be resumed long after the last poll", async () => {
    const house = buildCore({ settings: { resumeMs: RESUME_MS } });
    const first = await poll(house);
    await first.drop();
    for (let n = 0; n < 5; n++) {
      const page = await poll(house, first.handle.id);
      await page.drop();
    }
    house.clock.advance(RESUME_MS * 1.5 + 1);
    expect(resumedOf(await poll(house, first.handle.id))).toBe(false);
  });

  test("[BY-9] kicked out of any of its polls, it cannot be resumed", async () => {
    for (let polls = 1; polls < 4; polls++) {
      const house = buildCore({ settings: { resumeMs: RESUME_MS } });
      const first = await poll(house);
      let page = first;
      for (let n = 1; n < polls; n++) {
        await page.drop();
        page = await poll(house, first.handle.id);
      }
      await house.control.disconnectSession(first.handle.id, { reconnect: false });
      await page.drop();
      expect([polls, resumedOf(await poll(house, first.handle.id))]).toEqual([polls, false]);
    }
  });

  test("[CO-13] a poll that was replaced by the next one does not keep the session behind its back", async () => {
    const house = buildCore({ settings: { resumeMs: RESUME_MS } });
    const first = await poll(house);
    await first.drop();
    const second = await poll(house, first.handle.id);
    const third = await poll(house, first.handle.id);
    expect(second.connection.goodbye?.disconnect).toBe("replaced");
    expect(resumedOf(third)).toBe(true);
    await house.control.disconnectSession(first.handle.id, { reconnect: false });
    await second.drop();
    await third.drop();
    expect(resumedOf(await poll(house, first.handle.id))).toBe(false);
  });

  test("[CO-11] one that fails to take it up connects anew, and is kept as anybody is", async () => {
    const house = buildCore({ settings: { resumeMs: RESUME_MS } });
    const first = await house.open({ user: "bob" });
    await first.drop();
    const { id } = first.handle;
    // What is kept of it lasts for longer than the resume time from now on.
    await (await house.open({ user: "bob", session: id })).drop();
    house.clock.advance(RESUME_MS - 1);
    await (await house.open({ user: "bob", session: id })).drop();
    await house.control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
    const page = await house.open({ connect: false });
    await page.say({ type: "connect", token: "bob", session: id });
    await page.say({ type: "connect", token: "eve" });
    expect(
      page.connection
        .frames()
        .map(({ type }) => type)
        .slice(0, 2),
    ).toEqual(["error", "connected"]);
    await page.drop();
    expect(resumedOf(await house.open({ user: "eve", session: page.handle.id }))).toBe(true);
  });

  test("[OW-6] of a session whose id was never said nothing is kept", async () => {
    const house = buildCore({ settings: { resumeMs: RESUME_MS } });
    const set = spyOn(house.engine.state, "set");
    const native = nativeProtocol(16);
    const silent = {
      ...native,
      encode: (frame: ServerFrame) => (frame.type === "connected" ? null : native.encode(frame)),
    };
    const handle = house.gateway.open(new FakeConnection({ hearing: "nothing" }), silent, { channels: ["a"] });
    await settle();
    house.gateway.closed(handle, 1000, "");
    expect(set).not.toHaveBeenCalled();
    set.mockRestore();
  });
});

test("[CO-24] a session that is taken up while its bound user is revoked is nobody's", async () => {
  const house = buildCore();
  const page = await house.open({ user: "alice" });
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  // The store answers in its time: what is asked for later may be answered after the revocation is over and done.
  const { state } = house.engine;
  const get = state.get.bind(state);
  const gate = Promise.withResolvers<void>();
  spyOn(state, "get").mockImplementation(async (key) => {
    if (key === "revoked/alice") await gate.promise;
    return await get(key);
  });
  const set = state.set.bind(state);
  const committed = Promise.withResolvers<void>();
  spyOn(state, "set").mockImplementation(async (...entry) => {
    await set(...entry);
    await committed.promise;
  });
  const ended = house.control.disconnectUser("bob", { revokeMs: 60_000, reconnect: false });
  await settle();
  const connecting = new FakeConnection();
  const handle = house.gateway.open(connecting, nativeProtocol(16), { channels: [] });
  house.gateway.receive(handle, JSON.stringify({ type: "connect", token: "alice", session: id }));
  await settle();
  committed.resolve();
  expect(await ended).toBe(1);
  gate.resolve();
  await settle();
  expect((await house.control.user("bob")).sessions).toEqual([]);
  expect(connecting.frames()[0]).toMatchObject({ type: "connected", user: "alice", resumed: false });
});

test("[BY-9] a session that is kicked while it is being taken up cannot be resumed", async () => {
  const house = buildCore();
  const page = await house.open({ user: "alice" });
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  const { state } = house.engine;
  const get = state.get.bind(state);
  const gate = Promise.withResolvers<void>();
  spyOn(state, "get").mockImplementation(async (key) => {
    await gate.promise;
    return await get(key);
  });
  const connecting = new FakeConnection();
  const handle = house.gateway.open(connecting, nativeProtocol(16), { channels: [] });
  house.gateway.receive(handle, JSON.stringify({ type: "connect", token: "alice", session: id }));
  await settle();
  await house.control.disconnectSession(id, { reconnect: false });
  gate.resolve();
  await settle();
  expect(connecting.frames()[0]).toMatchObject({ type: "connected", user: "alice", resumed: false });
  expect((await house.control.user("bob")).sessions).toEqual([]);
});
