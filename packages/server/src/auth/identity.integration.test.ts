/** Who a client is and what it may do, with real tokens over real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ErrorFrame, ServerFrame } from "@longwire/protocol";
import { UnsecuredJWT } from "jose";
import { signToken, startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient, type TestClient } from "../../test/support/ws-client.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    "channels-subscribe": "token",
    "channels-publish": "token",
    "channels-presence": "signed-in",
    "channels-history": "token",
  });
});
afterAll(() => server.stop());

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

async function signIn(claims: Readonly<Record<string, unknown>>): Promise<TestClient> {
  return connectClient(server.url, { token: await signToken(claims) });
}

async function ask(client: TestClient, frame: Readonly<Record<string, unknown>>): Promise<number | string> {
  const answer = await client.ask(frame);
  return answer.type === "error" ? answer.code : answer.type;
}

const about = (type: ServerFrame["type"], channel: string) => (frame: ServerFrame) =>
  frame.type === type && "channel" in frame && frame.channel === channel;

describe("connect", () => {
  test("[CO-4] [CO-5] a refused token is answered; nothing but another connect is taken until one succeeds", async () => {
    const client = await connectClient(server.url, { connect: false });
    const refused: readonly (readonly [string, number])[] = [
      [await signToken({ sub: "bob" }, "another-secret-of-thirty-two-chars"), 300],
      [new UnsecuredJWT({ sub: "bob" }).encode(), 300],
      [(await signToken({ sub: "bob" })).slice(0, -3), 300],
      [await signToken({ sub: "b ob" }), 300],
      [await signToken({ sub: "bob", exp: inSeconds(-1) }), 301],
      [await signToken({ sub: "bob", channel: "a" }), 300],
    ];
    for (const [token, code] of refused) {
      expect(await ask(client, { type: "connect", token })).toBe(code);
      for (const type of ["subscribe", "publish", "presence", "history"]) {
        expect(await ask(client, { type, channel: "a", data: 1 })).toBe(302);
      }
      expect(await ask(client, { type: "ping" })).toBe(302);
    }
    // An empty one is no token, and no way to become anonymous either.
    expect(await ask(client, { type: "connect", token: "" })).toBe(102);
    expect(await ask(client, { type: "ping" })).toBe(302);
    expect(await ask(client, { type: "connect", token: await signToken({ sub: "bob" }) })).toBe("connected");
    expect(await client.next(about("subscribed", "@bob"))).toMatchObject({ channel: "@bob" });
    expect(await ask(client, { type: "ping" })).toBe("pong");
    client.terminate();
  });

  test("[CO-4] commands sent right behind a connect that fails are refused, none is carried out as anonymous", async () => {
    const client = await connectClient(server.url, { connect: false });
    const token = await signToken({ sub: "bob", channels: ["a"] });
    client.send({ type: "connect", token: "nonsense", id: 1 });
    client.send({ type: "subscribe", channel: "a", id: 2 });
    client.send({ type: "connect", token, id: 3 });
    client.send({ type: "subscribe", channel: "a", id: 4 });
    await client.next((frame) => "id" in frame && frame.id === 4);
    const answers = client.frames
      .filter((frame): frame is ErrorFrame => "id" in frame && frame.id !== undefined)
      .map(({ id, type, code }) => [id, type, code]);
    expect(answers).toEqual([
      [1, "error", 300],
      [2, "error", 302],
      [3, "connected", undefined],
      [4, "error", 107],
    ] as typeof answers);
    client.terminate();
  });

  test("[FR-9] commands sent right behind a connect wait for it, and take effect in order", async () => {
    const client = await connectClient(server.url, { connect: false });
    const token = await signToken({ sub: "hasty", allow: { subscribe: ["*"], history: ["*"] } });
    client.send({ type: "connect", token, id: 1 });
    for (const [at, type] of ["subscribe", "unsubscribe", "subscribe", "history", "ping"].entries())
      client.send({ type, channel: "haste", id: at + 2 });
    await client.next((frame) => "id" in frame && frame.id === 6);
    const replies = client.frames.flatMap((frame) => ("id" in frame ? [`${frame.id} ${frame.type}`] : []));
    expect(replies).toEqual(["1 connected", "2 subscribed", "3 unsubscribed", "4 subscribed", "5 history", "6 pong"]);
    client.terminate();
  });

  test("[CO-1] [CO-6] [CO-9] connected tells user and time left; the token's channels come without being asked for", async () => {
    const bob = await signIn({ sub: "bob", exp: inSeconds(3600), channels: ["given", "given", "wms:x"] });
    expect(bob.frames[0]).toMatchObject({ type: "connected", user: "bob", id: 1 });
    const { expires } = bob.frames[0] as { expires?: number };
    expect(expires).toBeGreaterThan(0);
    expect(expires).toBeLessThanOrEqual(3_600_000);
    await bob.next(about("subscribed", "@bob"));
    await bob.next(about("subscribed", "given"));
    expect(await bob.next(about("unsubscribed", "wms:x"))).toMatchObject({ code: 109 });
    expect(bob.frames.filter(about("subscribed", "given"))).toHaveLength(1);
    await server.publish("given", "hi");
    expect(await bob.received("given", 1)).toHaveLength(1);
    const anonymous = await signIn({ channels: ["given"] });
    expect(anonymous.user).toBeUndefined();
    await anonymous.next(about("subscribed", "given"));
    bob.terminate();
    anonymous.terminate();
  });

  test("[CO-10] [IN-1] `connect.since` holds for what the server subscribes, and for nothing else", async () => {
    const { epoch } = await server.publish("tape", 1);
    await server.publish("tape", 2);
    const token = await signToken({ sub: "since", channels: ["tape"] });
    const since = { tape: { epoch, offset: 1 }, other: { epoch, offset: 0 } };
    const client = await connectClient(server.url, { token, since });
    expect((await client.received("tape", 1)).map(({ data }) => data)).toEqual([2]);
    expect(client.frames.filter((frame) => "channel" in frame && frame.channel === "other")).toEqual([]);
    client.terminate();
  });

  test("[CO-6] [PR-9] `info` of the token is shown in presence, a client cannot choose it", async () => {
    const allow = { subscribe: ["*"], presence: ["*"] };
    const bob = await signIn({ sub: "bob", info: { name: "Bob" }, allow });
    await bob.request({ type: "subscribe", channel: "stage", presence: { info: { name: "King" } } });
    const { members } = await bob.request({ type: "presence", channel: "stage" });
    expect(members).toEqual([
      { session: bob.session, user: "bob", info: { name: "Bob" }, data: { info: { name: "King" } } },
    ]);
    bob.terminate();
  });
});

describe("rights", () => {
  test("[NS-2] [NS-6] [SU-9] [PU-3] what the token does not allow is forbidden; to nobody it says that a token would help", async () => {
    const allow = { subscribe: ["room:*"], publish: ["room:1"], history: ["room:*"] };
    const bob = await signIn({ sub: "bob", allow });
    expect(await ask(bob, { type: "subscribe", channel: "room:1" })).toBe("subscribed");
    expect(await ask(bob, { type: "publish", channel: "room:1", data: 1 })).toBe("published");
    expect(await ask(bob, { type: "history", channel: "room:2" })).toBe("history");
    expect(await ask(bob, { type: "publish", channel: "room:2", data: 1 })).toBe(109);
    expect(await ask(bob, { type: "subscribe", channel: "lobby" })).toBe(109);
    // An action that `allow` leaves out is not allowed, though the namespace would let every user.
    expect(await ask(bob, { type: "presence", channel: "room:1" })).toBe(109);
    const plain = await signIn({ sub: "plain" });
    expect(await ask(plain, { type: "presence", channel: "room:1" })).toBe("presence");
    expect(await ask(plain, { type: "subscribe", channel: "room:1" })).toBe(109);
    const nobody = await connectClient(server.url);
    for (const type of ["subscribe", "publish", "presence", "history"]) {
      expect([type, await ask(nobody, { type, channel: "room:1", data: 1 })]).toEqual([type, 302]);
    }
    for (const client of [bob, plain, nobody]) client.terminate();
  });

  test("[NS-9] nobody reads another's personal channel, whatever the token says", async () => {
    const all = ["*", "@alice"];
    const bob = await signIn({
      sub: "bob",
      channels: ["@alice"],
      allow: { subscribe: all, publish: all, presence: all, history: all },
    });
    await server.publish("@alice", "secret");
    for (const frame of [
      { type: "subscribe", channel: "@alice" },
      { type: "subscribe", channel: "@alice", token: await signToken({ channel: "@alice" }) },
      { type: "subscribe", channel: "@alice", token: await signToken({ channel: "@alice", sub: "bob" }) },
      { type: "presence", channel: "@alice" },
      { type: "history", channel: "@alice" },
    ]) {
      expect([frame, await ask(bob, frame)]).toEqual([frame, 109]);
    }
    expect(await ask(bob, { type: "publish", channel: "@alice", data: "hello" })).toBe("published");
    expect(bob.messages("@alice")).toEqual([]);
    // [PU-2] Who published is what the server knows.
    const alice = await signIn({ sub: "alice" });
    expect((await alice.received("@alice", 2)).at(-1)).toMatchObject({ data: "hello", user: "bob" });
    expect(await ask(alice, { type: "publish", channel: "@bob", data: 1 })).toBe(109);
    bob.terminate();
    alice.terminate();
  });

  test("[CO-9] [NS-9] a token that names somebody else's personal channel is told so, the other channels come", async () => {
    const bob = await signIn({ sub: "bob", channels: ["@alice", "fine"] });
    expect(await bob.next(about("unsubscribed", "@alice"))).toMatchObject({ code: 109 });
    await bob.next(about("subscribed", "fine"));
    bob.terminate();
    const query = await connectClient(server.url, {
      query: { token: await signToken({ sub: "bob" }), channels: "@alice" },
    });
    expect(await query.next(about("unsubscribed", "@alice"))).toMatchObject({ code: 109 });
    query.terminate();
  });

  test("[SU-8] a token for one channel opens that channel", async () => {
    const nobody = await connectClient(server.url);
    const token = await signToken({ channel: "box" });
    const subscribe = (channel: string, token: string) => ask(nobody, { type: "subscribe", channel, token });
    expect(await subscribe("box:2", token)).toBe(300);
    expect(await subscribe("box", await signToken({ channel: "box", sub: "bob" }))).toBe(300);
    expect(await subscribe("box", await signToken({ channel: "box", exp: 1 }))).toBe(301);
    expect(await subscribe("box", await signToken({ sub: "bob" }))).toBe(300);
    expect(await subscribe("box", token)).toBe("subscribed");
    expect(await ask(nobody, { type: "publish", channel: "box", data: 1 })).toBe(302);
    nobody.terminate();
  });
});

describe("the time of a token", () => {
  test("[CO-7] a session whose token runs out is ended with 4301", async () => {
    const client = await signIn({ sub: "brief", exp: inSeconds(2) });
    expect(await client.closed).toMatchObject({ code: 4301 });
    expect(client.frames.at(-1)).toMatchObject({ type: "disconnect", code: 4301, reconnect: true });
    expect((await server.api("GET", "/api/users/brief")).body).toMatchObject({ online: false });
  });

  test("[CO-8] one that brings a new token in time stays, with the new rights", async () => {
    const client = await signIn({ sub: "long", exp: inSeconds(2), allow: { publish: ["a"] } });
    const renewed = await client.request({
      type: "refresh",
      token: await signToken({ sub: "long", exp: inSeconds(3600), allow: { publish: ["b"] } }),
    });
    expect(renewed.expires).toBeGreaterThan(60_000);
    expect(await ask(client, { type: "publish", channel: "a", data: 1 })).toBe(109);
    expect(await ask(client, { type: "publish", channel: "b", data: 1 })).toBe("published");
    // The old token's time passes.
    await Bun.sleep(2500);
    expect(await ask(client, { type: "ping" })).toBe("pong");
    client.terminate();
  });

  test("[CO-8] a refresh with a bad token, or one of another user, leaves the old one in force", async () => {
    const client = await signIn({ sub: "firm", exp: inSeconds(600), allow: { publish: ["a"] } });
    expect(await ask(client, { type: "refresh", token: "nonsense" })).toBe(300);
    expect(await ask(client, { type: "refresh", token: await signToken({ sub: "other" }) })).toBe(300);
    expect(await ask(client, { type: "refresh", token: await signToken({}) })).toBe(300);
    expect(await ask(client, { type: "refresh", token: await signToken({ sub: "firm", exp: 1 }) })).toBe(301);
    expect(await ask(client, { type: "publish", channel: "a", data: 1 })).toBe("published");
    client.terminate();
  });
});

test("[CO-5] where no token secret is configured every token is refused", async () => {
  const open = await startServer({ "token-secret": "" });
  const client = await connectClient(open.url, { connect: false });
  expect(await ask(client, { type: "connect", token: await signToken({ sub: "bob" }) })).toBe(300);
  client.terminate();
  await open.stop();
});
