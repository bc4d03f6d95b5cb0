import { describe, expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { buildCore, type CoreHouse, type CoreSession, OPEN, settle } from "../../test/support/core.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import { FakeHooks, REFUSED, UNREACHABLE } from "../../test/support/fake-hooks.ts";
import type { Handshake, RequestView } from "../ports/gateway.ts";
import { BareProtocol } from "../protocols/bare.ts";
import { nativeProtocol } from "../protocols/native.ts";
import type { Session } from "./model.ts";
import type { ChannelOptions, Settings } from "./settings.ts";

const VIEW: RequestView = { transport: "websocket", headers: { cookie: "sid=1" }, query: { page: "a" } };
const HOOKED: ChannelOptions = { ...OPEN, subscribe: "hook", publish: "hook", presence: "hook", history: "hook" };

function houseWith(settings: Partial<Settings>): { hooks: FakeHooks; house: CoreHouse } {
  const hooks = new FakeHooks();
  return { hooks, house: buildCore({ hooks, settings }) };
}

/** A connection that has said nothing yet. */
function arrive(house: CoreHouse, handshake: Partial<Handshake> = {}, bare?: string) {
  const connection = new FakeConnection();
  const protocol = bare === undefined ? nativeProtocol(16) : new BareProtocol(bare, true);
  const handle = house.gateway.open(connection, protocol, { channels: [], request: VIEW, ...handshake });
  const say = async (command: object): Promise<void> => {
    house.gateway.receive(handle, JSON.stringify(command));
    await settle();
  };
  return { connection, handle, say, session: handle as Session };
}

/** Says several things at once, without waiting. */
function rush(house: CoreHouse, session: CoreSession, ...commands: object[]): void {
  for (const command of commands) house.gateway.receive(session.handle, JSON.stringify(command));
}

const lastOf = (session: { connection: FakeConnection }): ServerFrame | undefined => session.connection.frames().at(-1);
const kinds = (session: { connection: FakeConnection }): string[] =>
  session.connection.frames().map((frame) => ("id" in frame ? `${frame.type} ${frame.id}` : frame.type));

describe("connect", () => {
  test("[HK-2] the application sees the request of one who brings no token, and nobody else's", async () => {
    const { hooks, house } = houseWith({ askConnect: "without-token" });
    const bob = arrive(house);
    await bob.say({ type: "connect", id: 1, client: "phone" });
    expect(hooks.asked).toEqual([
      {
        event: "connect",
        session: bob.session.id,
        resumes: undefined,
        client: "phone",
        request: VIEW,
        protocol: "native",
        address: "192.0.2.1",
        token: undefined,
      },
    ]);
    expect(bob.session.request).toBeNull();
    await arrive(house).say({ type: "connect", id: 1, token: "eve" });
    expect(hooks.asked).toHaveLength(1);
  });

  test("[HK-2] `always`: tokens go to the application as they are, those of a refresh too; `never`: nothing does", async () => {
    const { hooks, house } = houseWith({ askConnect: "always" });
    hooks.answer = () => ({ user: "bob", expiresAt: house.clock.now() + 5000 });
    const bob = arrive(house);
    await bob.say({ type: "connect", id: 1, token: "opaque" });
    await bob.say({ type: "refresh", id: 2, token: "newer" });
    expect(hooks.asked).toMatchObject([{ token: "opaque" }, { token: "newer", request: { transport: "refresh" } }]);
    expect(lastOf(bob)).toMatchObject({ type: "refreshed", id: 2 });
    const { hooks: others, house: silent } = houseWith({ askConnect: "never" });
    await arrive(silent).say({ type: "connect" });
    expect(others.asked).toEqual([]);
  });

  test("[HK-3] the answer is an identity like a token's, and what is kept with the session", async () => {
    const { hooks, house } = houseWith({ askConnect: "without-token", channels: { ...OPEN, subscribe: "token" } });
    hooks.answer = () => ({
      user: "bob",
      channels: ["news"],
      allow: { subscribe: ["room:*"] },
      sessionData: { theme: "dark" },
    });
    const bob = arrive(house);
    await bob.say({ type: "connect", id: 1 });
    expect(bob.connection.frames()).toMatchObject([
      { type: "connected", user: "bob" },
      { type: "subscribed", channel: "news" },
      { type: "subscribed", channel: "@bob" },
    ]);
    expect(await house.control.sessionData(bob.session.id)).toEqual({ theme: "dark" });
    await bob.say({ type: "subscribe", id: 2, channel: "room:1" });
    expect(lastOf(bob)).toMatchObject({ type: "subscribed", id: 2 });
    await bob.say({ type: "subscribe", id: 3, channel: "other" });
    expect(lastOf(bob)).toMatchObject({ type: "error", id: 3, code: 109 });
  });

  test("[HK-3] a resumed session keeps what it has", async () => {
    const { hooks, house } = houseWith({ askConnect: "without-token" });
    hooks.answer = () => ({ user: "bob", sessionData: { n: 1 } });
    const bob = arrive(house);
    await bob.say({ type: "connect", id: 1 });
    const { id } = bob.session;
    await house.control.putSessionData(id, { n: 2 });
    house.gateway.closed(bob.handle, 1006, "");
    await settle();
    const again = arrive(house);
    await again.say({ type: "connect", id: 1, session: id });
    expect(hooks.asked.at(-1)).toMatchObject({ resumes: id });
    expect(again.connection.frames()[0]).toMatchObject({ type: "connected", session: id, resumed: true });
    expect(await house.control.sessionData(id)).toEqual({ n: 2 });
  });

  test("[HK-4] [HK-5] a `connect` that is refused, or about which nobody can be asked, may be tried again", async () => {
    for (const [failure, error] of [
      [REFUSED, { code: 109, message: "not allowed: not you" }],
      [UNREACHABLE, { code: 201, retry: 700 }],
    ] as const) {
      const { hooks, house } = houseWith({ askConnect: "without-token" });
      hooks.answer = () => {
        throw failure;
      };
      const bob = arrive(house);
      await bob.say({ type: "connect", id: 1 });
      expect(lastOf(bob)).toMatchObject({ type: "error", id: 1, ...error });
      await bob.say({ type: "subscribe", id: 2, channel: "a" });
      expect(lastOf(bob)).toMatchObject({ type: "error", id: 2, code: 302 });
      hooks.answer = () => ({ user: "bob" });
      await bob.say({ type: "connect", id: 3 });
      expect(bob.connection.frames().at(-2)).toMatchObject({ type: "connected", id: 3, user: "bob" });
    }
  });

  test("[HK-4] [HK-5] whoever connects without a `connect` is sent away, for good or for a while", async () => {
    const attempts: [string, Partial<Handshake>, object | undefined][] = [
      ["by its first frame", {}, { type: "subscribe", id: 1, channel: "a" }],
      ["by its query", { channels: ["a"] }, undefined],
      ["for a few commands", { fleeting: true }, { type: "ping", id: 1 }],
    ];
    for (const [way, handshake, first] of attempts) {
      for (const [failure, goodbye] of [
        [REFUSED, { code: 4103, reconnect: false }],
        [UNREACHABLE, { code: 4204, reconnect: true, afterMs: 700 }],
      ] as const) {
        const { hooks, house } = houseWith({ askConnect: "without-token" });
        hooks.answer = () => {
          throw failure;
        };
        const bob = arrive(house, handshake);
        if (first !== undefined) await bob.say(first);
        await settle();
        expect([way, bob.connection.goodbye]).toMatchObject([way, goodbye]);
        expect(await house.control.stats()).toMatchObject({ sessions: 0 });
      }
    }
  });

  test("[HK-8] what is said while the answer is awaited is carried out afterwards, in order", async () => {
    const { hooks, house } = houseWith({ askConnect: "without-token" });
    hooks.held = true;
    const bob = arrive(house);
    await bob.say({ type: "connect", id: 1 });
    await bob.say({ type: "subscribe", id: 2, channel: "a" });
    await bob.say({ type: "ping", id: 3 });
    expect(bob.connection.frames()).toEqual([]);
    hooks.release(0);
    await settle();
    expect(kinds(bob)).toEqual(["connected 1", "subscribed 2", "pong 3"]);
  });

  test("[HK-10] a client that leaves while the application is asked leaves nothing behind", async () => {
    const { hooks, house } = houseWith({ askConnect: "without-token" });
    hooks.held = true;
    const bob = arrive(house, { channels: ["a"] });
    await settle();
    house.gateway.closed(bob.handle, 1006, "");
    hooks.release(0, { user: "bob", channels: ["b"], sessionData: { n: 1 } });
    await settle();
    expect(await house.control.stats()).toMatchObject({ sessions: 0, users: 0, subscriptions: 0, channels: 0 });
    expect(await house.engine.state.get(`session/${bob.session.id}`)).toBeUndefined();
  });

  test("[HK-3] when the answer's time is over, whoever brought no token is asked to connect again", async () => {
    const { hooks, house } = houseWith({ askConnect: "always" });
    hooks.answer = () => ({ user: "bob", expiresAt: house.clock.now() + 5000 });
    const cookie = arrive(house);
    await cookie.say({ type: "connect", id: 1 });
    expect(cookie.connection.frames()[0]).toMatchObject({ type: "connected", expires: 5000 });
    const token = arrive(house);
    await token.say({ type: "connect", id: 1, token: "opaque" });
    house.clock.advance(8000);
    expect([cookie.connection.goodbye?.code, token.connection.goodbye?.code]).toEqual([4206, 4301]);
  });
});

describe("subscribe, presence and history", () => {
  test("[HK-6] where the namespace says hook the application is asked, with the token as it came", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    hooks.answer = (question) => {
      if (question.event === "subscribe" && question.token !== "pass") throw REFUSED;
      return {};
    };
    const bob = await house.open({ user: "bob" });
    await bob.say({ type: "subscribe", id: 1, channel: "a" });
    expect(lastOf(bob)).toMatchObject({ type: "error", id: 1, code: 109, message: "not allowed: not you" });
    await bob.say({ type: "subscribe", id: 2, channel: "a", token: "pass" });
    expect(lastOf(bob)).toMatchObject({ type: "subscribed", id: 2 });
    const { id: session } = bob.handle;
    expect(hooks.asked).toEqual([
      { event: "subscribe", session, user: "bob", channel: "a", token: undefined },
      { event: "subscribe", session, user: "bob", channel: "a", token: "pass" },
    ]);
  });

  test("[HK-6] a token's `allow` narrows and does not answer for the application; other's channels are not asked about", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    const token = JSON.stringify({ user: "bob", allow: { subscribe: ["room:*"] }, channels: ["given"] });
    const bob = await house.open({ user: token });
    for (const channel of ["other", "@eve", "room:1"]) await bob.say({ type: "subscribe", channel });
    expect(hooks.asked.map((question) => "channel" in question && question.channel)).toEqual(["room:1"]);
  });

  test("[HK-7] presence and history: subscribers need not be asked about, others are as for a subscription", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    const bob = await house.open({ user: "bob" });
    await bob.say({ type: "subscribe", id: 1, channel: "a", presence: true, events: true });
    await bob.say({ type: "presence", id: 2, channel: "a" });
    await bob.say({ type: "history", id: 3, channel: "a" });
    expect(hooks.asked).toHaveLength(1);
    const eve = await house.open({ user: "eve" });
    hooks.answer = () => {
      throw REFUSED;
    };
    await eve.say({ type: "presence", id: 2, channel: "a" });
    await eve.say({ type: "history", id: 3, channel: "a" });
    expect(hooks.asked.slice(1)).toMatchObject([
      { event: "subscribe", user: "eve", channel: "a" },
      { event: "subscribe", user: "eve", channel: "a" },
    ]);
    expect(eve.connection.frames().slice(-2)).toMatchObject([
      { id: 2, code: 109 },
      { id: 3, code: 109 },
    ]);
  });

  test("[HK-7] who is there needs an answer also where anybody may subscribe", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, presence: "hook" } });
    hooks.answer = () => {
      throw REFUSED;
    };
    const bob = await house.open();
    await bob.say({ type: "subscribe", id: 1, channel: "a", events: true });
    expect(lastOf(bob)).toMatchObject({ type: "error", id: 1, code: 109 });
    await bob.say({ type: "subscribe", id: 2, channel: "a" });
    expect(lastOf(bob)).toMatchObject({ type: "subscribed", id: 2 });
    hooks.held = true;
    await bob.say({ type: "subscribe", id: 3, channel: "b", events: true });
    await bob.say({ type: "subscribe", id: 4, channel: "c" });
    expect(lastOf(bob)).toMatchObject({ type: "subscribed", id: 4 });
  });

  test("[HK-6] [WS-7] channels of the query are asked about, and announced in their order", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    hooks.held = true;
    const names = ["a", "b", "c", "d", "e", "f"];
    const bob = arrive(house, { channels: names });
    await settle();
    // A client with many channels must not be all that the application hears of.
    expect(hooks.waiting).toHaveLength(4);
    hooks.release(1, REFUSED);
    hooks.release(0);
    for (let left = 4; left > 0; left--) {
      await settle();
      hooks.release(0);
    }
    await settle();
    expect(bob.connection.frames().slice(1)).toMatchObject([
      { type: "subscribed", channel: "a" },
      { type: "unsubscribed", channel: "b", code: 109 },
      ...["c", "d", "e", "f"].map((channel) => ({ type: "subscribed", channel })),
    ]);
  });

  test("[HK-4] [HK-5] a bare client that cannot have its only channel is told why by its goodbye", async () => {
    for (const [failure, code] of [
      [REFUSED, 4103],
      [UNREACHABLE, 4204],
    ] as const) {
      const { hooks, house } = houseWith({ channels: HOOKED });
      hooks.answer = () => {
        throw failure;
      };
      const { connection } = arrive(house, { channels: ["a"] }, "a");
      await settle();
      expect(connection.goodbye?.code).toBe(code);
    }
  });

  test("[HK-10] a subscription is not made for one who has left, nor with the answer about another user", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    const [bob, eve] = [await house.open({ user: "bob" }), await house.open({ user: "eve" })];
    hooks.held = true;
    await bob.say({ type: "subscribe", id: 1, channel: "a" });
    await eve.say({ type: "subscribe", id: 1, channel: "a" });
    await bob.drop();
    await house.control.bindUser(eve.handle.id, "mallory");
    hooks.release(0);
    hooks.release(0);
    await settle();
    expect(lastOf(eve)).toMatchObject({ type: "error", id: 1, code: 201 });
    expect(house.errors).toEqual([]);
    expect((await house.control.channel("a")).subscribers).toBe(0);
  });
});

describe("publish", () => {
  test("[HK-9] the application sees what is published, and may change it or refuse it", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
    const [bob, eve] = [await house.open({ user: "bob" }), await house.open({ user: "eve" })];
    await eve.say({ type: "subscribe", channel: "a" });
    await bob.say({ type: "publish", id: 1, channel: "a", data: { text: "damn" }, name: "said", key: "k" });
    expect(hooks.asked).toEqual([
      {
        event: "publish",
        session: bob.handle.id,
        user: "bob",
        channel: "a",
        data: '{"text":"damn"}',
        encoding: undefined,
        name: "said",
        key: "k",
      },
    ]);
    hooks.answer = () => ({ data: '{"text":"****"}', name: "cleaned" });
    await bob.say({ type: "publish", id: 2, channel: "a", data: { text: "damn" } });
    hooks.answer = () => {
      throw REFUSED;
    };
    await bob.say({ type: "publish", id: 3, channel: "a", data: 1 });
    hooks.answer = () => {
      throw UNREACHABLE;
    };
    await bob.say({ type: "publish", id: 4, channel: "a", data: 1 });
    expect(bob.connection.frames().slice(-4)).toMatchObject([
      { type: "published", id: 1, offset: 1 },
      { type: "published", id: 2, offset: 2 },
      { type: "error", id: 3, code: 109 },
      { type: "error", id: 4, code: 201, retry: 700 },
    ]);
    expect(eve.connection.frames().filter(({ type }) => type === "message")).toMatchObject([
      { data: { text: "damn" }, name: "said", user: "bob" },
      { data: { text: "****" }, name: "cleaned", user: "bob" },
    ]);
  });

  test("[HK-9] bare messages are asked about too, text and bytes apart; what a backend publishes is not", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
    const bob = arrive(house, { channels: ["a"] }, "a");
    await settle();
    house.gateway.receive(bob.handle, "hi");
    house.gateway.receive(bob.handle, new Uint8Array([0, 255]));
    await settle();
    expect(hooks.asked).toMatchObject([
      { channel: "a", data: '"hi"', encoding: undefined },
      { channel: "a", data: '"AP8="', encoding: "base64" },
    ]);
    expect(bob.connection.writes.flat()).toEqual(["hi", Buffer.from([0, 255])]);
    await house.publish("a", 1);
    expect(hooks.asked).toHaveLength(2);
    hooks.answer = () => {
      throw REFUSED;
    };
    house.gateway.receive(bob.handle, "no");
    await settle();
    expect(bob.connection.goodbye?.code).toBe(4103);
  });

  test("[HK-9] nothing too large is asked about, and no answer makes it so", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" }, publicationBytesMax: 100 });
    const bob = await house.open();
    await bob.say({ type: "publish", id: 1, channel: "a", data: "x".repeat(200) });
    expect(hooks.asked).toEqual([]);
    hooks.answer = () => ({ data: JSON.stringify("x".repeat(200)) });
    await bob.say({ type: "publish", id: 2, channel: "a", data: "x" });
    expect(bob.connection.frames().slice(-2)).toMatchObject([
      { id: 1, code: 104 },
      { id: 2, code: 104 },
    ]);
  });

  test("[HK-8] a slow answer holds back the later commands about that channel, in their order, and nothing else", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
    const [bob, eve] = [await house.open(), await house.open()];
    hooks.held = true;
    rush(
      house,
      bob,
      { type: "publish", id: 1, channel: "a", data: 1 },
      { type: "publish", id: 2, channel: "a", data: 2 },
      { type: "subscribe", id: 3, channel: "a" },
      { type: "history", id: 4, channel: "a" },
      { type: "publish", id: 5, channel: "b", data: 1 },
      { type: "ping", id: 6 },
      { type: "subscribe", id: 7, channel: "c" },
    );
    await settle();
    expect(kinds(bob).slice(1)).toEqual(["pong 6", "subscribed 7"]);
    expect(hooks.waiting).toMatchObject([{ channel: "a", data: "1" }, { channel: "b" }]);
    rush(house, eve, { type: "publish", id: 1, channel: "a", data: 3 });
    await settle();
    hooks.release(2);
    hooks.release(1);
    await settle();
    expect(kinds(eve).slice(1)).toEqual(["published 1"]);
    expect(kinds(bob).slice(3)).toEqual(["published 5"]);
    hooks.release(0, REFUSED);
    await settle();
    expect(hooks.waiting).toMatchObject([{ data: "2" }]);
    hooks.release(0);
    await settle();
    expect(kinds(bob).slice(4)).toEqual(["error 1", "published 2", "subscribed 3", "history 4"]);
    const { publications } = await house.control.history("a", {});
    expect(publications.map(({ data }) => data)).toEqual([3, 2]);
    expect((bob.handle as Session).pendingBytes).toBe(0);
  });

  test("[CO-23] [HK-8] what a refresh has taken away meanwhile, the answer does not give back", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    const bob = await house.open({ user: "bob" });
    hooks.held = true;
    rush(
      house,
      bob,
      { type: "subscribe", id: 1, channel: "a" },
      { type: "history", id: 2, channel: "b" },
      { type: "publish", id: 3, channel: "c", data: 1 },
      { type: "publish", id: 4, channel: "d", data: 1 },
      { type: "refresh", id: 5, token: JSON.stringify({ user: "bob", allow: { publish: ["d"] } }) },
    );
    await settle();
    for (let n = 0; n < 4; n++) hooks.release(0);
    await settle();
    expect(kinds(bob).slice(2).toSorted()).toEqual(["error 1", "error 2", "error 3", "published 4", "refreshed 5"]);
    const { channels } = await house.control.session(bob.handle.id);
    expect(channels).toEqual(["@bob"]);
    const { publications } = await house.control.history("c", {});
    expect(publications).toEqual([]);
  });

  test("[HK-8] subscribe and unsubscribe leave the state of the last one", async () => {
    const { hooks, house } = houseWith({ channels: HOOKED });
    const bob = await house.open();
    hooks.held = true;
    const { handle } = bob;
    for (const type of ["subscribe", "unsubscribe", "subscribe"]) rush(house, bob, { type, channel: "a" });
    await settle();
    hooks.release(0);
    await settle();
    hooks.release(0);
    await settle();
    expect(kinds(bob).slice(1)).toEqual(["subscribed", "unsubscribed", "subscribed"]);
    expect((handle as Session).subscriptions).toHaveLength(1);
  });

  test("[HK-11] one session has few questions open, and is not read while too much of it waits", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
    const bob = await house.open();
    hooks.held = true;
    const channels = Array.from({ length: 30 }, (_, at) => `c${at}`);
    rush(house, bob, ...channels.map((channel, id) => ({ type: "publish", id: id + 1, channel, data: 1 })));
    await settle();
    expect(hooks.waiting).toHaveLength(4);
    expect(bob.connection.paused).toBe(false);
    rush(
      house,
      bob,
      ...Array.from({ length: 6 }, () => ({ type: "publish", channel: "c0", data: "x".repeat(60_000) })),
    );
    await settle();
    expect(bob.connection.paused).toBe(true);
    for (let n = 0; n < 100 && hooks.waiting.length > 0; n++) {
      hooks.release(0);
      await settle();
    }
    expect(kinds(bob).slice(1)).toEqual(channels.map((_, id) => `published ${id + 1}`));
    expect(await house.control.channel("c0")).toMatchObject({ offset: 7 });
    expect([bob.connection.paused, (bob.handle as Session).pendingBytes]).toEqual([false, 0]);
  });

  test("[HK-10] what a client said before it left is published, unless it was sent away or nobody can be asked", async () => {
    const endings: [string, (house: CoreHouse, bob: CoreSession) => unknown, number[]][] = [
      ["left", (_, bob) => bob.drop(), [1, 2]],
      ["kicked", (house, bob) => house.control.disconnectSession(bob.handle.id, { reconnect: false }), []],
    ];
    for (const [how, end, kept] of endings) {
      const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
      const bob = await house.open();
      hooks.held = true;
      rush(house, bob, { type: "publish", channel: "a", data: 1 }, { type: "publish", channel: "a", data: 2 });
      await end(house, bob);
      house.gateway.closed(bob.handle, 1000, "");
      hooks.held = false;
      hooks.release(0);
      await settle();
      const { publications } = await house.control.history("a", {});
      expect([how, publications.map(({ data }) => data)]).toEqual([how, kept]);
      expect(hooks.asked).toHaveLength(Math.max(1, kept.length));
      expect((bob.handle as Session).pendingBytes).toBe(0);
    }
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
    const bob = await house.open();
    hooks.held = true;
    for (let n = 0; n < 5; n++) rush(house, bob, { type: "publish", channel: "a", data: n });
    await bob.drop();
    hooks.release(0, UNREACHABLE);
    await settle();
    expect(hooks.waiting).toEqual([]);
  });

  test("[HK-8] `/send` is answered when the application has answered", async () => {
    const { hooks, house } = houseWith({ channels: { ...OPEN, publish: "hook" } });
    const bob = arrive(house, { fleeting: true });
    hooks.held = true;
    await bob.say({ type: "publish", id: 1, channel: "a", data: 1 });
    let isSettled = false;
    void house.gateway.settled(bob.handle).then(() => (isSettled = true));
    await settle();
    expect(isSettled).toBe(false);
    hooks.release(0);
    await settle();
    expect([isSettled, lastOf(bob)]).toMatchObject([true, { type: "published", id: 1 }]);
  });
});
