import { expect, test } from "bun:test";
import { maskedSessionId } from "../base/ids.ts";
import { brokerWith, buildCore, OPEN, settle } from "../../test/support/core.ts";

const types = (frames: readonly { type: string }[]): string[] => frames.map(({ type }) => type);

test("[CO-1] connect is answered with the session, and [CO-9] with the channels the server gives", async () => {
  const house = buildCore();
  const token = JSON.stringify({ user: "bob", channels: ["news"], expiresAt: house.clock.now() + 60_000 });
  const bob = await house.open({ user: token });
  expect(bob.connection.frames()).toEqual([
    { type: "connected", session: bob.handle.id, user: "bob", ping: 25_000, expires: 60_000 },
    { type: "subscribed", channel: "news", epoch: expect.any(String), offset: 0, recovered: true },
    { type: "subscribed", channel: "@bob", epoch: expect.any(String), offset: 0, recovered: true },
  ]);
});

test("[CO-2] a first frame that is no connect connects anonymously, and is then answered", async () => {
  const house = buildCore();
  const bob = await house.open({ connect: false });
  await bob.say({ type: "ping", id: 1 });
  expect(types(bob.connection.frames())).toEqual(["connected", "pong"]);
});

test("[CO-3] a second connect is refused and changes nothing", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "connect", id: 9, token: "eve" });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", id: 9, code: 106 });
  expect((await house.control.session(bob.handle.id)).user).toBe("bob");
});

test("[CO-4] after a bad token only another connect is taken", async () => {
  const house = buildCore();
  const bob = await house.open({ connect: false });
  await bob.say({ type: "connect", id: 1, token: "bad" });
  await bob.say({ type: "subscribe", id: 2, channel: "a" });
  await bob.say({ type: "connect", id: 3, token: "bob" });
  expect(bob.connection.frames().slice(0, 3)).toMatchObject([
    { type: "error", id: 1, code: 300 },
    { type: "error", id: 2, code: 302 },
    { type: "connected", id: 3, user: "bob" },
  ]);
});

test("[CO-7] a session whose token runs out is ended, [CO-8] one that brings a new token in time is not", async () => {
  const house = buildCore();
  const token = (ms: number, user = "bob"): string => JSON.stringify({ user, expiresAt: house.clock.now() + ms });
  const careless = await house.open({ user: token(5000) });
  const careful = await house.open({ user: token(5000) });
  await careful.say({ type: "refresh", id: 5, token: token(20_000) });
  await careful.say({ type: "refresh", id: 6, token: token(20_000, "eve") });
  house.clock.advance(6000);
  expect(careful.connection.frames().slice(-2)).toMatchObject([
    { type: "refreshed", id: 5, expires: 20_000 },
    { type: "error", id: 6, code: 300 },
  ]);
  expect(careless.connection.goodbye?.disconnect).toBe("expiredToken");
  expect(careful.connection.goodbye).toBeUndefined();
});

test("[FR-9] commands take effect in the order they came, whatever they wait for", async () => {
  const house = buildCore();
  const bob = await house.open({ connect: false });
  const commands = [
    { type: "connect", id: 1 },
    { type: "subscribe", id: 2, channel: "a" },
    { type: "publish", id: 3, channel: "a", data: 1 },
    { type: "unsubscribe", id: 4, channel: "a" },
    { type: "subscribe", id: 5, channel: "a" },
    { type: "publish", id: 6, channel: "a", data: 2 },
    { type: "history", id: 7, channel: "a" },
    { type: "unsubscribe", id: 8, channel: "a" },
    { type: "unsubscribe", id: 9, channel: "a" },
  ] as const;
  await Promise.all(commands.map((command) => bob.say(command)));
  const replies = bob.connection.frames().filter((frame) => "id" in frame);
  expect(replies.map((frame) => ("id" in frame ? frame.id : 0)).toSorted((a = 0, b = 0) => a - b)).toEqual([
    1, 2, 3, 4, 5, 6, 7, 8, 9,
  ]);
  expect(replies.find((frame) => "id" in frame && frame.id === 9)).toMatchObject({ type: "error", code: 108 });
  expect(bob.connection.offsets("a")).toEqual([1, 2]);
});

test("[FR-9] ten thousand commands in one turn are all answered, in order", async () => {
  const house = buildCore();
  const bob = await house.open({ connect: false });
  await Promise.all(Array.from({ length: 10_000 }, (_, n) => bob.say({ type: "ping", id: n + 1 })));
  const pongs = bob.connection.frames().flatMap((frame) => (frame.type === "pong" ? [frame.id] : []));
  expect(pongs).toEqual(Array.from({ length: 10_000 }, (_, n) => n + 1));
});

test("[P4] a client that sends faster than a command can be finished is not read meanwhile, and loses nothing", async () => {
  const house = buildCore();
  const bob = await house.open({ connect: false });
  const data = "x".repeat(10_000);
  const all = Promise.all([
    bob.say({ type: "connect" }),
    ...Array.from({ length: 100 }, () => bob.say({ type: "publish", channel: "a", data })),
  ]);
  expect(bob.connection.paused).toBe(true);
  await all;
  expect(bob.connection.paused).toBe(false);
  expect((await house.control.channel("a")).offset).toBe(100);
});

test("[FR-16] a bug is answered as internal, logged, and hurts nobody", async () => {
  const house = buildCore();
  const bob = await house.open();
  house.engine.presence.list = () => Promise.reject(new TypeError("a secret of the house"));
  await bob.say({ type: "presence", id: 1, channel: "a" });
  const answer = bob.connection.frames().at(-1);
  expect(answer).toMatchObject({ type: "error", id: 1, code: 200 });
  expect(JSON.stringify(answer)).not.toContain("secret of the house");
  expect(house.errors).toHaveLength(1);
});

test("[LI-1] a silent client is pinged, [LI-2] and ended when nothing is heard", async () => {
  const house = buildCore();
  const silent = await house.open();
  const alive = await house.open();
  house.clock.advance(26_000);
  expect([silent.connection.pings, alive.connection.pings]).toEqual([1, 1]);
  house.gateway.heard(alive.handle);
  house.clock.advance(10_000);
  expect(silent.connection.goodbye?.disconnect).toBe("noPong");
  expect(alive.connection.goodbye).toBeUndefined();
});

test("[LI-3] JSON pings go to those who asked, also while they talk all the time", async () => {
  const house = buildCore();
  const asked = await house.open({ ping: true });
  const plain = await house.open();
  for (let n = 0; n < 60; n++) {
    house.clock.advance(1000);
    for (const session of [asked, plain]) await session.say({ type: "pong" });
  }
  expect(asked.connection.frames().filter(({ type }) => type === "ping")).toHaveLength(2);
  expect(plain.connection.frames().filter(({ type }) => type === "ping")).toHaveLength(0);
});

test("[BY-1] after the goodbye nothing is sent, and a client that does not even read it is cut", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "subscribe", channel: "a" });
  await house.control.disconnectUser("bob", { reconnect: false, reason: "spam" });
  await house.publish("a", 1);
  expect(bob.connection.frames().at(-1)).toEqual({
    type: "disconnect",
    code: 4102,
    reason: "disconnected by the application: spam",
    reconnect: false,
  });
  house.clock.advance(11_000);
  expect(bob.connection.isCut).toBe(true);
});

test("[CO-11] a resumed session keeps its id, its user by login, the application's channels and its data", async () => {
  const house = buildCore();
  const page = await house.open();
  const { id } = page.handle;
  await house.control.bindUser(id, "bob");
  await house.control.subscribeSession(id, "vip");
  await house.control.putSessionData(id, { cart: [1] });
  await page.drop();
  await house.publish("@bob", "while away");
  const again = await house.open({ session: id });
  expect(again.connection.frames()[0]).toMatchObject({ type: "connected", session: id, user: "bob", resumed: true });
  expect(again.connection.offsets("@bob")).toEqual([1]);
  expect((await house.control.session(id)).channels).toEqual(["vip", "@bob"]);
  expect(await house.control.sessionData(id)).toEqual({ cart: [1] });
});

test("[CO-12] an unknown session, one of another user, and one that is too old begin anew", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob" });
  const { id } = bob.handle;
  await bob.drop();
  for (const options of [{ session: "made-up" }, { session: id, user: "eve" }, { session: id }]) {
    const other = await house.open(options);
    expect(other.connection.frames()[0]).toMatchObject({ type: "connected", resumed: false });
    expect(other.handle.id).not.toBe(id);
  }
  house.clock.advance(61_000);
  const late = await house.open({ session: id, user: "bob" });
  expect(late.connection.frames()[0]).toMatchObject({ type: "connected", resumed: false });
});

test("[CO-13] a session taken up elsewhere leaves its old connection, and nobody sees a leave", async () => {
  const house = buildCore();
  const watcher = await house.open();
  await watcher.say({ type: "subscribe", channel: "a", events: true });
  const old = await house.open();
  const { id } = old.handle;
  await old.say({ type: "subscribe", channel: "a", presence: true });
  const fresh = await house.open({ session: id });
  await fresh.say({ type: "subscribe", channel: "a", presence: true });
  await old.drop();
  house.clock.advance(10_000);
  await settle();
  expect(old.connection.goodbye?.disconnect).toBe("replaced");
  expect(fresh.connection.frames()[0]).toMatchObject({ type: "connected", session: id, resumed: true });
  expect(types(watcher.connection.frames()).filter((type) => type === "join" || type === "leave")).toEqual(["join"]);
  expect((await house.control.presence("a")).sessions).toBe(1);
});

test("[PR-4] [PR-5] a person joins with the first session and leaves after the last, a moment later", async () => {
  const house = buildCore();
  const watcher = await house.open();
  await watcher.say({ type: "subscribe", channel: "a", events: true });
  const events = (): string[] =>
    types(watcher.connection.frames()).filter((type) => type === "join" || type === "leave");
  const first = await house.open({ user: "bob" });
  const second = await house.open({ user: "bob" });
  await first.say({ type: "subscribe", channel: "a", presence: { at: "desk" } });
  await second.say({ type: "subscribe", channel: "a", presence: { at: "bus" } });
  expect(events()).toEqual(["join"]);
  await first.drop();
  await second.drop();
  house.clock.advance(2000);
  await settle();
  expect(events()).toEqual(["join"]);
  expect(await house.control.presence("a")).toMatchObject({ users: 1, sessions: 2 });
  const third = await house.open({ user: "bob" });
  await third.say({ type: "subscribe", channel: "a", presence: { at: "home" } });
  house.clock.advance(10_000);
  await settle();
  expect(events()).toEqual(["join"]);
  expect((await house.control.presence("a")).members).toEqual([
    { session: third.handle.id, user: "bob", data: { at: "home" } },
  ]);
  await third.drop();
  house.clock.advance(4000);
  await settle();
  expect(events()).toEqual(["join", "leave"]);
});

test("[PR-6] leaving by unsubscribe shows at once", async () => {
  const house = buildCore();
  const watcher = await house.open();
  await watcher.say({ type: "subscribe", channel: "a", events: true });
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a", presence: true });
  await bob.say({ type: "unsubscribe", channel: "a" });
  expect(watcher.connection.frames().at(-1)).toEqual({
    type: "leave",
    channel: "a",
    member: { session: maskedSessionId(bob.handle.id) },
  });
});

test("[SU-7] a subscription ended by the application is announced, and its person has left", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "subscribe", channel: "a", presence: true });
  expect(await house.control.unsubscribeUser("bob", "a")).toBe(1);
  await settle();
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "unsubscribed", channel: "a", code: 118 });
  expect((await house.control.presence("a")).sessions).toBe(0);
});

function flip(n: number): { type: "subscribe" | "unsubscribe"; channel: string } {
  return { type: n % 2 === 0 ? "subscribe" : "unsubscribe", channel: "a" };
}

test("[SU-11] subscribe and unsubscribe in one turn leave the state of the last one", async () => {
  const house = buildCore();
  const bob = await house.open();
  await Promise.all(Array.from({ length: 11 }, (_, n) => bob.say(flip(n))));
  await house.publish("a", 1);
  expect(bob.connection.offsets("a")).toEqual([1]);
  await Promise.all(Array.from({ length: 5 }, (_, n) => bob.say(flip(n + 1))));
  await house.publish("a", 2);
  expect(bob.connection.offsets("a")).toEqual([1]);
  expect((await house.control.stats()).subscriptions).toBe(0);
});

test("[SU-12] what a lost connection had is gone", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "subscribe", channel: "a" });
  await bob.say({ type: "subscribe", channel: "b", echo: false });
  await bob.drop();
  expect(await house.control.stats()).toMatchObject({ sessions: 0, users: 0, channels: 0, subscriptions: 0 });
  expect([...house.fanout.members.values()].every((members) => members.size === 0)).toBe(true);
});

test("[IN-7] a publication to somebody offline waits for the first connection, and is delivered once", async () => {
  const house = buildCore();
  await house.publish("@bob", "one");
  await house.publish("@bob", "two");
  const first = await house.open({ user: "bob" });
  expect(first.connection.offsets("@bob")).toEqual([1, 2]);
  await first.say({ type: "ack", id: 1, channel: "@bob", offset: 2 });
  expect(first.connection.frames().at(-1)).toEqual({ type: "acked", id: 1, channel: "@bob", offset: 2 });
  const second = await house.open({ user: "bob" });
  expect(second.connection.offsets("@bob")).toEqual([]);
  await house.publish("@bob", "three");
  expect([first.connection.offsets("@bob"), second.connection.offsets("@bob")]).toEqual([[1, 2, 3], [3]]);
});

test("[IN-3] a device has a position of its own", async () => {
  const house = buildCore();
  await house.publish("@bob", "one");
  const phone = await house.open({ user: "bob", client: "phone" });
  await phone.say({ type: "ack", channel: "@bob", offset: 1 });
  const tablet = await house.open({ user: "bob", client: "tablet" });
  const phoneAgain = await house.open({ user: "bob", client: "phone" });
  expect(tablet.connection.offsets("@bob")).toEqual([1]);
  expect(phoneAgain.connection.offsets("@bob")).toEqual([]);
});

test("[IN-4] ack of the beginning is answered and keeps nothing", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob", client: "phone" });
  await bob.say({ type: "ack", id: 1, channel: "@bob", offset: 0 });
  expect(bob.connection.frames().at(-1)).toEqual({ type: "acked", id: 1, channel: "@bob", offset: 0 });
  expect(await house.engine.state.position("@bob", "bob,phone")).toBeUndefined();
});

test("[IN-5] ack is refused where there is no inbox, no subscription, no such offset", async () => {
  const house = buildCore();
  const bob = await house.open({ user: "bob" });
  await bob.say({ type: "subscribe", channel: "a" });
  await bob.say({ type: "ack", id: 1, channel: "b", offset: 1 });
  await bob.say({ type: "ack", id: 2, channel: "a", offset: 0 });
  await bob.say({ type: "ack", id: 3, channel: "@bob", offset: 1 });
  expect(bob.connection.frames().slice(-3)).toMatchObject([{ code: 108 }, { code: 109 }, { code: 102 }]);
});

test("[IN-6] an inbox that reaches back too far gives what is kept, and says that something is missing", async () => {
  const house = buildCore({ settings: { channels: { ...OPEN, historySize: 3 } } });
  await house.publish("@bob", 1);
  const first = await house.open({ user: "bob" });
  await first.say({ type: "ack", channel: "@bob", offset: 1 });
  await first.drop();
  for (let n = 2; n <= 8; n++) await house.publish("@bob", n);
  const again = await house.open({ user: "bob" });
  expect(again.connection.frames()[1]).toMatchObject({ type: "subscribed", offset: 5, recovered: false });
  expect(again.connection.offsets("@bob")).toEqual([6, 7, 8]);
});

test("[CH-10] nobody enters a foreign world by the native protocol or the API", async () => {
  const house = buildCore();
  const bob = await house.open({ user: JSON.stringify({ user: "bob", allow: { subscribe: ["*"], publish: ["*"] } }) });
  for (const channel of ["wms:x", "pusher.1:x", "io./:x"]) {
    await bob.say({ type: "subscribe", id: 1, channel });
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", code: 109 });
    await bob.say({ type: "publish", id: 1, channel, data: 1 });
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", code: 109 });
    expect(house.control.publish({ channel, data: "1" })).rejects.toThrow("another protocol");
  }
});

test("[ST-6] at a stop what was sent before is answered before the goodbye, what is sent after is not carried out", async () => {
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          async publish(channel, draft) {
            // A commit: the next turn but one.
            for (let turn = 0; turn < 2; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
            return inner.publish(channel, draft);
          },
        }),
    },
  });
  const bob = await house.open();
  house.gateway.receive(bob.handle, JSON.stringify({ type: "publish", id: 1, channel: "a", data: 1 }));
  const drained = house.drain(1000);
  expect(bob.connection.paused).toBeTrue();
  await settle();
  expect(types(bob.connection.frames())).toEqual(["connected", "published", "disconnect"]);
  await bob.drop();
  house.clock.advance(20);
  await drained;
});
