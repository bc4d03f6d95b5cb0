import { expect, test } from "bun:test";
import type { Member, ServerFrame } from "@longwire/protocol";
import { buildCore, OPEN, settle } from "../../test/support/core.ts";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import { LocalPresence } from "../engines/local-presence.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { LocalChannel, Session, Subscription } from "./model.ts";
import { Presence } from "./presence.ts";

function membersIn(frame: ServerFrame | undefined): readonly Member[] {
  if (frame?.type !== "presence") throw new Error("no presence came");
  return frame.members;
}

test("[CO-15] what others see of a session does not let them take it up", async () => {
  const house = buildCore();
  const eve = await house.open();
  await eve.say({ type: "subscribe", channel: "a", events: true });
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a", presence: true });
  await eve.say({ type: "presence", channel: "a" });
  const [member] = membersIn(eve.connection.frames().at(-1));
  const join = eve.connection.frames().find(({ type }) => type === "join");
  expect(join).toEqual({ type: "join", channel: "a", member: member as Member });
  const { session = "" } = member ?? {};
  expect(session).not.toBe("");
  const thief = await house.open({ session });
  expect(thief.connection.frames()[0]).toMatchObject({ resumed: false });
  expect(bob.connection.goodbye).toBeUndefined();
  // The backend, which acts on sessions, sees which they are.
  expect((await house.control.presence("a")).members).toEqual([{ session: bob.handle.id }]);
});

test("[PR-1] what a member shows of itself is small: everybody who asks is sent it", async () => {
  const house = buildCore();
  const bob = await house.open();
  await bob.say({ type: "subscribe", id: 1, channel: "a", presence: "x".repeat(5000) });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", id: 1, code: 104 });
  await bob.say({ type: "subscribe", id: 2, channel: "a", presence: "x".repeat(4000) });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "subscribed", id: 2 });
});

test("[PR-2] a list of members ends at a bound of bytes; the counts are whole", async () => {
  const house = buildCore({ settings: { queueBytesMax: 64 * 1024 } });
  for (let n = 0; n < 30; n++) {
    await (await house.open()).say({ type: "subscribe", channel: "a", presence: "x".repeat(4000) });
  }
  const eve = await house.open();
  eve.connection.stalled = true;
  await eve.say({ type: "presence", channel: "a" });
  expect(membersIn(eve.connection.frames().at(-1))).toHaveLength(4);
  expect(eve.connection.frames().at(-1)).toMatchObject({ users: 30, sessions: 30 });
});

test("[P4] of too many who might come back, the rest are gone at once", async () => {
  const clock = new FakeClock();
  const events: string[] = [];
  const store = new LocalPresence({ event: (type: string) => void events.push(type) });
  const silent = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const presence = new Presence(store, clock, silent, 10);
  const channel = new LocalChannel("a", OPEN);
  for (let n = 0; n < 15; n++) {
    const session = new Session(`s${n}`, new FakeConnection(), nativeProtocol(16), 0, 0, 1000);
    const subscription = new Subscription(session, channel, true, false, false);
    await presence.enter(subscription, undefined);
    presence.leave(subscription, true);
  }
  await settle();
  expect((await store.count("a")).sessions).toBe(10);
  clock.advance(4000);
  await settle();
  expect((await store.count("a")).sessions).toBe(0);
  expect(events.filter((type) => type === "leave")).toHaveLength(15);
  presence.stop();
});

function nothing(): void {}
