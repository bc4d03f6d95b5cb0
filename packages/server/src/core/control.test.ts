import { expect, test } from "bun:test";
import { brokerWith, buildCore, settle } from "../../test/support/core.ts";

test("[AP-11] a page of channels asks the broker once, not once for each", async () => {
  const calls = { channels: 0, history: 0 };
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          channels(query) {
            calls.channels++;
            return inner.channels(query);
          },
          history(channel, query) {
            calls.history++;
            return inner.history(channel, query);
          },
        }),
    },
  });
  for (let n = 10; n < 50; n++) await house.publish(`a${n}`, n);
  await house.publish("a10", "second");
  const bob = await house.open();
  for (const channel of ["a11", "a10b", "z"]) await bob.say({ type: "subscribe", channel });
  const { channels, more } = await house.control.channels({ limit: 4 });
  expect(channels.map(({ channel, offset, kept, subscribers }) => [channel, offset, kept, subscribers])).toEqual([
    ["a10", 2, 2, 0],
    ["a10b", 0, 0, 1],
    ["a11", 1, 1, 1],
    ["a12", 1, 1, 0],
  ]);
  expect(more).toBeTrue();
  // What is followed and was never published to is asked for by itself.
  expect(calls).toEqual({ channels: 1, history: 1 });
  const rest = await house.control.channels({ after: "a49", limit: 4 });
  expect(rest).toMatchObject({ channels: [{ channel: "z" }], more: false });
  expect(await house.control.channel("a10")).toMatchObject({ offset: 2, kept: 2 });
  expect(calls.channels).toBe(2);
});

test("[AP-15] the data of a session has a size, however many requests it came in", async () => {
  const house = buildCore({ settings: { publicationBytesMax: 1000 } });
  const bob = await house.open();
  const { id } = bob.handle;
  await house.control.patchSessionData(id, { a: "x".repeat(600) });
  const refused = await house.control.patchSessionData(id, { b: "x".repeat(600) }).catch((error: unknown) => error);
  expect(refused).toMatchObject({ error: "tooLarge" });
  expect(await house.control.patchSessionData(id, { a: null, b: 1 })).toEqual({ b: 1 });
});

test("[AP-14] a session that cannot be subscribed is no success, and [AP-13] does not count", async () => {
  const house = buildCore({ settings: { subscriptionsMax: 2 } });
  const full = await house.open({ user: "bob" });
  const free = await house.open({ user: "bob" });
  await full.say({ type: "subscribe", channel: "a" });
  const refused = await house.control.subscribeSession(full.handle.id, "b").catch((error: unknown) => error);
  expect(refused).toMatchObject({ error: "limit" });
  expect(await house.control.subscribeUser("bob", "b")).toBe(1);
  expect((await house.control.session(free.handle.id)).channels).toEqual(["@bob", "b"]);
  // Nor does it get it at its next resume, when there is room.
  await full.drop();
  const again = await house.open({ user: "bob", session: full.handle.id });
  expect((await house.control.session(again.handle.id)).channels).toEqual(["@bob"]);
});

test("[PR-3] a user bound to a session is who is present from then on", async () => {
  const house = buildCore();
  const eve = await house.open();
  await eve.say({ type: "subscribe", channel: "a", events: true });
  const page = await house.open();
  await page.say({ type: "subscribe", channel: "a", presence: { nick: "B" } });
  await house.control.bindUser(page.handle.id, "bob");
  await settle();
  expect((await house.control.presence("a")).members).toEqual([
    { session: page.handle.id, user: "bob", data: { nick: "B" } },
  ]);
  const events = eve.connection
    .frames()
    .flatMap((frame) => (frame.type === "join" || frame.type === "leave" ? [[frame.type, frame.member.user]] : []));
  expect(events).toEqual([
    ["join", undefined],
    ["leave", undefined],
    ["join", "bob"],
  ]);
});
