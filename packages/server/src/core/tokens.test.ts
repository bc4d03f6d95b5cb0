/** Tokens over the life of a session: who need not have one, what a narrower one ends, who is thrown out. */
import { describe, expect, test } from "bun:test";
import { buildCore, type CoreHouse, type CoreSession, OPEN, settle } from "../../test/support/core.ts";
import { FakeConnection } from "../../test/support/fake-connection.ts";
import { nativeProtocol } from "../protocols/native.ts";
import type { Identity } from "../ports/authority.ts";
import type { Handshake } from "../ports/gateway.ts";

const CALM = { pingIntervalMs: 1_000_000, pingTimeoutMs: 1_000_000 };

/** A token of the house's authority. */
const tokenOf = (identity: Partial<Identity>): string => JSON.stringify(identity);

/** What a promise is rejected with, as words. */
function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "it was not rejected",
    (error: unknown) => String(error),
  );
}

interface Raw {
  readonly connection: FakeConnection;
  say(frame: unknown): Promise<void>;
}

function brief(house: CoreHouse): string {
  return tokenOf({ user: "bob", expiresAt: house.clock.now() + 10_000 });
}

function issued(house: CoreHouse, agoMs: number): string {
  return tokenOf({ user: "bob", issuedAt: house.clock.now() - agoMs });
}

function strict(anonymous: "refused" | "tolerated"): CoreHouse {
  return buildCore({ settings: { ...CALM, anonymous, connectTimeoutMs: 5000 } });
}

/** A connection whose handshake is up to the test. */
async function arrive(house: CoreHouse, handshake: Partial<Handshake> = {}): Promise<Raw> {
  const connection = new FakeConnection();
  const handle = house.gateway.open(connection, nativeProtocol(16), { channels: [], ...handshake });
  await settle();
  return {
    connection,
    async say(frame) {
      house.gateway.receive(handle, JSON.stringify(frame));
      await settle();
    },
  };
}

const codesOf = ({ connection }: { readonly connection: FakeConnection }): unknown[] =>
  connection.frames().map((frame) => ("code" in frame ? `${frame.type} ${frame.code}` : frame.type));

describe("[CO-22] where clients must say who they are", () => {
  test("a connection that stays silent ends in time, one that was refused as well, one with a token stays", async () => {
    const closed = strict("refused");
    const silent = await arrive(closed);
    const refused = await arrive(closed);
    const bob = await arrive(closed);
    closed.clock.advance(4000);
    await refused.say({ type: "connect", id: 1 });
    await refused.say({ type: "connect", id: 2, token: "bad" });
    await bob.say({ type: "connect", id: 1, token: "bob" });
    expect(codesOf(refused)).toEqual(["error 302", "error 300"]);
    expect(silent.connection.goodbye).toBeUndefined();
    closed.clock.advance(1500);
    expect(silent.connection.goodbye?.disconnect).toBe("missingToken");
    expect(refused.connection.goodbye?.disconnect).toBe("missingToken");
    closed.clock.advance(100_000);
    expect(bob.connection.goodbye).toBeUndefined();
  });

  test("a token without a user is one all the same", async () => {
    const closed = strict("refused");
    const page = await arrive(closed);
    await page.say({ type: "connect", token: tokenOf({ channels: ["news"] }) });
    closed.clock.advance(100_000);
    expect(page.connection.goodbye).toBeUndefined();
  });

  test("whoever begins with another command, or by its query, is ended at once", async () => {
    const closed = strict("refused");
    const hasty = await arrive(closed);
    await hasty.say({ type: "subscribe", channel: "news", id: 1 });
    expect(hasty.connection.goodbye?.disconnect).toBe("missingToken");
    const byQuery = await arrive(closed, { channels: ["news"] });
    expect(byQuery.connection.goodbye?.disconnect).toBe("missingToken");
  });
});

describe("[CO-22] where nothing is open to everybody", () => {
  test("nobodies that follow nothing end in time; those to whom the application gave something, or a token, stay", async () => {
    const quiet = strict("tolerated");
    const silent = await arrive(quiet);
    const nobody = await quiet.open();
    const bound = await quiet.open();
    const given = await quiet.open();
    const bob = await quiet.open({ user: "bob" });
    await quiet.control.bindUser(bound.handle.id, "alice");
    await quiet.control.subscribeSession(given.handle.id, "news");
    quiet.clock.advance(6000);
    await settle();
    expect(silent.connection.goodbye?.disconnect).toBe("missingToken");
    expect(nobody.connection.goodbye?.disconnect).toBe("missingToken");
    quiet.clock.advance(100_000);
    for (const { connection } of [bound, given, bob]) expect(connection.goodbye).toBeUndefined();
  });
});

test("[CO-22] [LI-7] where something is open to everybody, a silent connection may stay", async () => {
  const house = buildCore({ settings: { ...CALM, connectTimeoutMs: 5000 } });
  const silent = await arrive(house);
  house.clock.advance(100_000);
  expect(silent.connection.goodbye).toBeUndefined();
});

describe("[CO-7] grace", () => {
  const settings = { ...CALM, tokenGraceMs: 5000 };

  test("a session may bring a new token a little after the end of the old one, and ends after that", async () => {
    const house = buildCore({ settings });
    const late = await house.open({ user: brief(house) });
    const never = await house.open({ user: brief(house) });
    expect(late.connection.frames()[0]).toMatchObject({ type: "connected", expires: 10_000 });
    house.clock.advance(13_000);
    await late.say({ type: "refresh", token: brief(house), id: 1 });
    expect(late.connection.frames().at(-1)).toMatchObject({ type: "refreshed", expires: 10_000 });
    house.clock.advance(3000);
    expect(never.connection.goodbye?.disconnect).toBe("expiredToken");
    expect(late.connection.goodbye).toBeUndefined();
    house.clock.advance(13_000);
    expect(late.connection.goodbye?.disconnect).toBe("expiredToken");
  });
});

describe("[CO-19] a token that stands in the request", () => {
  test("speaks where the client brings none: in `connect`, for a first command, and where the query connects", async () => {
    const house = buildCore();
    const byConnect = await arrive(house, { requestToken: "bob" });
    expect(byConnect.connection.frames()).toEqual([]);
    await byConnect.say({ type: "connect", id: 1 });
    const byCommand = await arrive(house, { requestToken: "bob" });
    await byCommand.say({ type: "subscribe", channel: "news", id: 1 });
    const byQuery = await arrive(house, { requestToken: "bob", channels: ["news"] });
    for (const { connection } of [byConnect, byCommand, byQuery]) {
      expect(connection.frames()[0]).toMatchObject({ type: "connected", user: "bob" });
    }
  });

  test("a token of the client goes first, and a bad one is not saved by it", async () => {
    const house = buildCore();
    const page = await arrive(house, { requestToken: "bob" });
    await page.say({ type: "connect", token: "bad", id: 1 });
    await page.say({ type: "subscribe", channel: "news", id: 2 });
    expect(codesOf(page)).toEqual(["error 300", "error 302"]);
    await page.say({ type: "connect", token: "alice", id: 3 });
    expect(page.connection.frames()[2]).toMatchObject({ type: "connected", user: "alice" });
    const query = await arrive(house, { requestToken: "bob", token: "bad", channels: ["news"] });
    expect(query.connection.goodbye?.disconnect).toBe("invalidToken");
  });

  test("[CO-7] whoever has it cannot renew it: at its end the client is asked to connect again", async () => {
    const house = buildCore({ settings: CALM });
    const requestToken = tokenOf({ user: "bob", expiresAt: house.clock.now() + 10_000 });
    const page = await arrive(house, { requestToken, channels: ["news"] });
    house.clock.advance(12_000);
    expect(page.connection.goodbye?.disconnect).toBe("asked");
  });
});

describe("[CO-23] rights that become narrower", () => {
  const allow = { subscribe: ["*"], presence: ["*"] };

  async function member(house: CoreHouse): Promise<CoreSession> {
    return await house.open({ user: tokenOf({ user: "bob", channels: ["given"], allow }) });
  }

  test("end what is no longer allowed, and leave what the server gave", async () => {
    const house = buildCore({ settings: CALM });
    const bob = await member(house);
    for (const channel of ["a", "b"]) await bob.say({ type: "subscribe", channel, id: 1 });
    await bob.say({ type: "subscribe", channel: "watched", events: true, id: 1 });
    await house.control.subscribeSession(bob.handle.id, "gift");
    const before = bob.connection.frames().length;
    await bob.say({
      type: "refresh",
      id: 9,
      token: tokenOf({ user: "bob", allow: { subscribe: ["a", "watched"] } }),
    });
    expect(bob.connection.frames().slice(before)).toMatchObject([
      { type: "refreshed", id: 9 },
      { type: "unsubscribed", channel: "given", code: 109 },
      { type: "unsubscribed", channel: "b", code: 109 },
      // To see who comes and goes is a right of its own.
      { type: "unsubscribed", channel: "watched", code: 109 },
    ]);
    const { channels } = await house.control.session(bob.handle.id);
    expect(channels.toSorted()).toEqual(["@bob", "a", "gift"]);
    await house.publish("b", 1);
    await settle();
    expect(bob.connection.frames().filter(({ type }) => type === "message")).toEqual([]);
  });

  test("a channel that a token of its own opened stays", async () => {
    const channels = { ...OPEN, subscribe: "token" as const };
    const house = buildCore({ settings: { ...CALM, channels } });
    const bob = await house.open({ user: "bob" });
    await bob.say({ type: "subscribe", channel: "box", token: "good", id: 1 });
    await bob.say({ type: "refresh", token: "bob", id: 2 });
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "refreshed" });
    expect((await house.control.session(bob.handle.id)).channels).toContain("box");
  });

  test("a user taken away by the application takes along what only users may read", async () => {
    const channels = { ...OPEN, subscribe: "signed-in" as const };
    const house = buildCore({ settings: { ...CALM, channels } });
    const page = await house.open();
    await house.control.bindUser(page.handle.id, "bob");
    await page.say({ type: "subscribe", channel: "news", id: 1 });
    await house.control.bindUser(page.handle.id, "alice");
    expect((await house.control.session(page.handle.id)).channels).toContain("news");
    await house.control.bindUser(page.handle.id, null);
    await settle();
    expect(page.connection.frames().at(-1)).toMatchObject({ type: "unsubscribed", channel: "news", code: 302 });
    expect((await house.control.session(page.handle.id)).channels).toEqual([]);
  });
});

describe("[CO-24] a revoked user", () => {
  test("is ended, and stays out with every token issued before, until the time is over", async () => {
    const house = buildCore({ settings: CALM });
    const old = issued(house, 1000);
    const undated = tokenOf({ user: "bob" });
    const session = await house.open({ user: old });
    const other = await house.open({ user: "alice" });
    house.clock.advance(10);
    expect(await house.control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 })).toBe(1);
    expect(session.connection.goodbye?.disconnect).toBe("kicked");
    expect(other.connection.goodbye).toBeUndefined();
    const fresh = issued(house, 0);
    const ways = async (token: string): Promise<unknown[]> => {
      const page = await arrive(house);
      await page.say({ type: "connect", token, id: 1 });
      const query = await arrive(house, { token, channels: ["news"] });
      const header = await arrive(house, { requestToken: token, channels: ["news"] });
      const send = await arrive(house, { token, session: "x", fleeting: true });
      return [codesOf(page)[0], ...[query, header, send].map(({ connection }) => connection.goodbye?.disconnect)];
    };
    const refused = ["error 300", "invalidToken", "invalidToken", "invalidToken"];
    expect(await ways(old)).toEqual(refused);
    expect(await ways(undated)).toEqual(refused);
    expect(await ways(fresh)).toEqual(["connected", undefined, undefined, undefined]);
    house.clock.advance(60_000);
    expect(await ways(old)).toEqual(["connected", undefined, undefined, undefined]);
  });

  test("cannot refresh with an old token, nor open a channel with one", async () => {
    const channels = { ...OPEN, subscribe: "token" as const };
    const house = buildCore({ settings: { ...CALM, channels } });
    await house.control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
    const bob = await house.open({ user: issued(house, 0) });
    await bob.say({ type: "refresh", token: issued(house, 1000), id: 1 });
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", id: 1, code: 300 });
    // The house's tokens for one channel do not say when they were issued.
    await bob.say({ type: "subscribe", channel: "box", token: "good", id: 2 });
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "error", id: 2, code: 300 });
  });

  test("is not brought back by a session that was lost before", async () => {
    const house = buildCore({ settings: CALM });
    const bound = await house.open();
    await house.control.bindUser(bound.handle.id, "bob");
    const asked = await house.open();
    await house.control.bindUser(asked.handle.id, "bob");
    await bound.drop();
    await house.control.disconnectUser("bob", { reconnect: true, revokeMs: 60_000 });
    for (const { id } of [bound.handle, asked.handle]) {
      const back = await arrive(house);
      await back.say({ type: "connect", session: id, id: 1 });
      expect(back.connection.frames()[0]).toMatchObject({ type: "connected", resumed: false });
      expect(back.connection.frames()[0]).not.toHaveProperty("user");
    }
  });

  test("one that connects in the very moment is either refused or ended", async () => {
    const house = buildCore({ settings: CALM });
    for (let hops = 0; hops < 12; hops++) {
      const connection = new FakeConnection();
      const handle = house.gateway.open(connection, nativeProtocol(16), { channels: [] });
      const old = issued(house, 1000);
      const revoking = house.control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
      for (let hop = 0; hop < hops; hop++) await Promise.resolve();
      house.gateway.receive(handle, JSON.stringify({ type: "connect", token: old, id: 1 }));
      await revoking;
      await settle();
      expect((await house.control.user("bob")).online).toBe(false);
      await house.control.liftRevocation("bob");
    }
  });

  test("[AP-21] a second revocation covers more and does not end sooner; it can be seen and lifted", async () => {
    const house = buildCore({ settings: CALM });
    const start = house.clock.now();
    expect(await failureOf(house.control.revocation("bob"))).toContain("not revoked");
    expect(await failureOf(house.control.liftRevocation("bob"))).toContain("not revoked");
    await house.control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
    house.clock.advance(1000);
    await house.control.disconnectUser("bob", { reconnect: false, revokeMs: 10 });
    expect(await house.control.revocation("bob")).toEqual({
      user: "bob",
      revokedAt: start + 1000,
      until: start + 60_000,
    });
    await house.control.disconnectUser("bob", { reconnect: false });
    expect((await house.control.revocation("bob")).until).toBe(start + 60_000);
    await house.control.liftRevocation("bob");
    const bob = await house.open({ user: tokenOf({ user: "bob" }) });
    expect(bob.connection.goodbye).toBeUndefined();
    expect(await failureOf(house.control.revocation("bob"))).toContain("not revoked");
  });
});
