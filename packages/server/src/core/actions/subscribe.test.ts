import { expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { brokerWith, buildCore, OPEN, PERSONAL, settle } from "../../../test/support/core.ts";
import { FakeConnection } from "../../../test/support/fake-connection.ts";
import { nativeProtocol } from "../../protocols/native.ts";
import type { Session } from "../model.ts";

test("[SU-12] a connection lost while its subscription token is checked leaves no subscription behind", async () => {
  const house = buildCore({ settings: { channels: { ...OPEN, subscribe: "token" } } });
  const bob = await house.open();
  house.gateway.receive(bob.handle, JSON.stringify({ type: "subscribe", channel: "a", token: "good" }));
  house.gateway.closed(bob.handle, 1006, "");
  await settle();
  expect(await house.control.stats()).toMatchObject({ subscriptions: 0, channels: 0 });
});

test("[SU-1] what is not in the history comes after `subscribed` too, however long that takes", async () => {
  const { promise: allowed, resolve: allow } = Promise.withResolvers<void>();
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          async history(channel, query) {
            await allowed;
            return inner.history(channel, query);
          },
        }),
    },
  });
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a", since: "earliest" });
  await house.control.publish({ channel: "a", data: '"too early"', history: false });
  allow();
  await settle();
  await house.control.publish({ channel: "a", data: '"in time"', history: false });
  await settle();
  expect(bob.connection.frames().slice(1)).toMatchObject([
    { type: "subscribed", channel: "a" },
    { type: "message", channel: "a", data: "in time" },
  ]);
});

test("[P4] replays that an unsubscribe has ended do not wait for the client any longer", async () => {
  const house = buildCore({ settings: { queueBytesMax: 2000 } });
  for (let n = 0; n < 100; n++) await house.control.publish({ channel: "a", data: JSON.stringify("x".repeat(100)) });
  const bob = await house.open();
  bob.connection.stalled = true;
  for (let n = 0; n < 3; n++) {
    await bob.say({ type: "subscribe", channel: "a", since: "earliest" });
    await bob.say({ type: "unsubscribe", channel: "a" });
  }
  expect(bob.connection.goodbye).toBeUndefined();
  expect((bob.handle as Session).drainWaiters).toBeNull();
});

test("[RE-9] an answer in the moment in which a replay may go on does not leave it waiting", async () => {
  const house = buildCore({ settings: { queueBytesMax: 4000 } });
  for (let n = 1; n <= 3; n++) await house.control.publish({ channel: "a", data: JSON.stringify("x".repeat(3000)) });
  const bob = await house.open();
  bob.connection.stalled = true;
  await bob.say({ type: "subscribe", channel: "a", since: "earliest" });
  expect(bob.connection.offsets("a")).toEqual([]);
  bob.connection.stalled = false;
  bob.connection.take();
  // The pong waits for the end of the turn when the replay looks whether the queue is empty; no second `drained` will come.
  house.gateway.receive(bob.handle, JSON.stringify({ type: "ping" }));
  house.gateway.drained(bob.handle);
  await settle();
  expect(bob.connection.offsets("a")).toEqual([1, 2, 3]);
});

test("[IN-6] an inbox that is trimmed while its reader catches up goes on with the oldest kept", async () => {
  const house = buildCore({
    settings: { queueBytesMax: 2000, channels: { ...OPEN, historySize: 20 }, namespaces: new Map([["@", PERSONAL]]) },
  });
  const add = async (): Promise<void> => {
    await house.control.publish({ channel: "@bob", data: JSON.stringify("x".repeat(400)) });
  };
  for (let n = 0; n < 20; n++) await add();
  const phone = await house.open({ connect: false });
  phone.connection.stalled = true;
  await phone.say({ type: "connect", token: "bob" });
  for (let n = 0; n < 30; n++) await add();
  for (let round = 0; round < 60; round++) {
    phone.connection.take();
    house.gateway.drained(phone.handle);
    await settle();
  }
  const offsets = phone.connection.offsets("@bob");
  const again = phone.connection.frames().filter((frame: ServerFrame) => frame.type === "subscribed");
  expect(again.at(-1)).toMatchObject({ recovered: false, offset: 30 });
  expect(offsets.slice(-20)).toEqual(Array.from({ length: 20 }, (_, at) => 31 + at));
});

test("[WS-7] a channel of the query that the server has subscribed already is not announced as refused", async () => {
  const house = buildCore();
  const connection = new FakeConnection();
  const token = JSON.stringify({ user: "bob", channels: ["news"] });
  house.gateway.open(connection, nativeProtocol(16), { token, channels: ["news", "@bob", "talk"] });
  await settle();
  expect(connection.frames().map((frame) => [frame.type, (frame as { channel?: string }).channel])).toEqual([
    ["connected", undefined],
    ["subscribed", "news"],
    ["subscribed", "@bob"],
    ["subscribed", "talk"],
  ]);
});
