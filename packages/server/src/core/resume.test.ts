import { expect, spyOn, test } from "bun:test";
import { buildCore, settle } from "../../test/support/core.ts";
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
