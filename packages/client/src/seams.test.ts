/** The seams between states: what happens when the application, the server and the network act in the same moment. */
import { expect, test } from "bun:test";
import type { ServerFrame } from "@longwire/protocol";
import { settle } from "../test/support/fake-clock.ts";
import { message } from "../test/support/fake-server.ts";
import { FakeStorage } from "../test/support/fake-surroundings.ts";
import { Rig } from "../test/support/rig.ts";
import { LongwireError } from "./failures.ts";

/** The reason a promise fails with, or what it resolves to. */
function outcome(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => value ?? "done",
    (error: unknown) => (error instanceof LongwireError ? error.reason : error),
  );
}

function made(channel: string, offset = 0, epoch = "e"): ServerFrame {
  return { type: "subscribed", channel, epoch, offset, recovered: true };
}

test("a channel's ready() fails when the connection is closed for good, also when it was before", async () => {
  const rig = await new Rig().connect();
  rig.server.answers.subscribe = () => undefined;
  const channel = rig.client.channel("a").subscribe();
  const ready = outcome(channel.ready());
  rig.server.last.close(4102, "kicked");
  expect(await ready).toBe("disconnected");
  expect(await outcome(channel.ready())).toBe("disconnected");
  expect(await outcome(rig.client.ready())).toBe("disconnected");
});

test("a channel's ready() fails on disconnect(), and waits before connect()", async () => {
  const rig = new Rig();
  const channel = rig.client.channel("a").subscribe();
  const early = outcome(channel.ready());
  await rig.connect();
  expect(await early).toBe("done");
  rig.server.answers.subscribe = () => undefined;
  const late = outcome(rig.client.channel("b").subscribe().ready());
  rig.client.disconnect();
  expect(await late).toBe("disconnected");
});

test("disconnect() in a handler that hears of the loss stays disconnected", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel("a").subscribe();
  await settle();
  channel.on("state", () => rig.client.disconnect());
  rig.server.last.close(1006, "");
  await rig.clock.advance(60_000);
  expect(rig.client.state.status).toBe("idle");
  expect(rig.server.connections.length).toBe(1);
  expect(rig.clock.pending).toBe(0);
});

test("connect() in a handler that hears of disconnect() counts: it came last", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel("a").subscribe();
  await settle();
  const off = channel.on("state", () => {
    off();
    rig.client.connect();
  });
  rig.client.disconnect();
  await settle();
  expect(rig.client.state.status).toBe("connected");
});

test("subscribe(since) on a subscription that the server made starts there, and messages arrive", async () => {
  const rig = await new Rig().connect();
  rig.server.last.send(made("news", 10));
  const channel = rig.client.channel<string>("news").subscribe({ epoch: "e", offset: 3 });
  const found: (number | undefined)[] = [];
  channel.on("message", ({ offset }) => found.push(offset));
  await settle();
  rig.server.last.send(message("news", 4));
  expect(found).toEqual([4]);
});

test("subscribe(since) does not say that the channel was unsubscribed, and a handler cannot ask twice", async () => {
  const rig = await new Rig().connect();
  const channel = rig.client.channel("a").subscribe();
  await settle();
  const states: string[] = [];
  channel.on("state", ({ status }) => {
    states.push(status);
    if (status === "unsubscribed") channel.subscribe();
  });
  channel.subscribe({ epoch: "e", offset: 2 });
  await settle();
  expect(states).toEqual(["subscribing", "subscribed"]);
  expect(rig.server.last.sent("subscribe").length).toBe(2);
});

test("unsubscribe acknowledges what was handled: it must not come again", async () => {
  const rig = new Rig();
  rig.server.connected = { user: "bob" };
  await rig.connect();
  rig.server.last.send(made("@bob"));
  rig.client.inbox().on("message", () => undefined);
  await settle();
  rig.server.last.send(message("@bob", 1));
  rig.client.inbox().unsubscribe();
  expect(rig.server.last.sent("ack").map(({ offset }) => offset)).toEqual([1]);
});

test("the end of an older subscription does not end the newer one", async () => {
  const rig = await new Rig().connect();
  const answer = rig.server.answers.subscribe;
  const channel = rig.client.channel("a").subscribe();
  await settle();
  rig.server.answers.subscribe = () => undefined;
  channel.unsubscribe();
  channel.subscribe();
  rig.server.last.send({ type: "unsubscribed", channel: "a", code: 118, reason: "ended" });
  const [, second] = rig.server.last.sent("subscribe");
  if (second !== undefined) rig.server.last.send(answer?.(second, rig.server.last) ?? "");
  expect(channel.state.status).toBe("subscribed");
});

test("a channel that the server has and this side does not is subscribed anew", async () => {
  const rig = await new Rig().connect();
  const answer = rig.server.answers.subscribe;
  rig.server.answers.subscribe = ({ id }) => ({ type: "error", id, code: 107, message: "already" });
  rig.server.answers.unsubscribe = ({ id, channel }) => {
    rig.server.answers.subscribe = answer as never;
    return { type: "unsubscribed", id, channel };
  };
  const channel = rig.client.channel("a").subscribe();
  await settle();
  await rig.clock.advance(2999);
  expect(rig.server.last.sent("unsubscribe")).toEqual([]);
  await rig.clock.advance(1);
  expect(channel.state.status).toBe("subscribed");
});

test("a server-made subscription that is not announced again is given up, and no longer sent with `connect`", async () => {
  const rig = await new Rig({ requestTimeoutMs: 6000 }).connect();
  const news = rig.client.channel<string>("news");
  const sport = rig.client.channel<string>("sport");
  for (const name of ["news", "sport"]) rig.server.last.send(made(name, 3));
  rig.server.last.close(1006, "");
  await rig.clock.advance(1000);
  expect(Object.keys(rig.server.last.sent("connect")[0]?.since ?? {})).toEqual(["news", "sport"]);
  await rig.clock.advance(5999);
  // A connection that does not stand for so long proves nothing.
  rig.server.last.close(1006, "");
  await rig.clock.advance(1000);
  rig.server.last.send(made("sport", 3));
  await rig.clock.advance(5999);
  expect(news.state.status).toBe("subscribing");
  await rig.clock.advance(1);
  expect(news.state).toEqual({ status: "unsubscribed" });
  expect(news.position).toBeUndefined();
  expect(sport.state.status).toBe("subscribed");
  await rig.cut();
  expect(rig.server.last.sent("connect")[0]?.since).toEqual({ sport: { epoch: "e", offset: 3 } });
  // Where the server makes it later all the same, it is there.
  rig.server.last.send(made("news", 8));
  expect(news.state.status).toBe("subscribed");
});

test("a subscription of a page before that the server does not make again is dropped from the storage", async () => {
  const storage = { session: new FakeStorage(), local: new FakeStorage() };
  const options = { persist: "local", storage } as const;
  const before = await new Rig(options).connect();
  before.server.last.send(made("news", 3));
  before.surroundings.tell("hide");
  const rig = await new Rig(options).connect();
  expect(rig.server.last.sent("connect")[0]?.since).toMatchObject({ news: { offset: 3 } });
  await rig.clock.advance(11_000);
  expect([...storage.local.items.values()]).toEqual(["{}"]);
});

test("what the application asks for itself is not given up, though the server made it before", async () => {
  const rig = await new Rig().connect();
  rig.server.last.send(made("news", 3));
  const channel = rig.client.channel("news").subscribe();
  await rig.cut();
  expect(channel.state.status).toBe("subscribed");
  expect(rig.server.last.sent("subscribe")[0]?.since).toEqual({ epoch: "e", offset: 3 });
});

test("the inbox follows the user back and forth, and hands nobody's messages to another's handlers", async () => {
  const rig = new Rig();
  const inbox: string[] = [];
  const alice: string[] = [];
  rig.client.inbox().on("message", ({ channel }) => inbox.push(channel));
  rig.client.channel("@alice").on("message", ({ channel }) => alice.push(channel));
  const users = ["alice", "bob", "alice"];
  for (const [index, user] of users.entries()) {
    rig.server.connected = { user };
    await (index === 0 ? rig.connect() : rig.cut());
    rig.server.last.send(made(`@${user}`, 0, `epoch ${index}`));
    rig.server.last.send(message(`@${user}`, 1));
  }
  expect(inbox).toEqual(users.map((user) => `@${user}`));
  expect(alice).toEqual(["@alice", "@alice"]);
});

test("a getToken that throws at once, or gives no promise, is no more than one that fails", async () => {
  const rig = new Rig({
    getToken: () => {
      throw new Error("signed out");
    },
  });
  await rig.connect();
  expect(rig.client.state.status).toBe("waiting");
  expect(rig.errors).toMatchObject([{ message: "signed out" }]);
  const plain = await new Rig({ getToken: (() => "t") as never }).connect();
  expect(plain.server.last.sent("connect")[0]?.token).toBe("t");
});

test("a getToken that never answers is asked again by the next attempt", async () => {
  let asked = 0;
  const rig = new Rig({ getToken: () => (++asked === 1 ? new Promise(() => undefined) : Promise.resolve("t")) });
  await rig.connect();
  await rig.clock.advance(11_000);
  expect(asked).toBe(2);
  expect(rig.client.state.status).toBe("connected");
});

test("a channel's getToken that gives nothing is asked again after the backoff, not for ever at once", async () => {
  let asked = 0;
  const rig = await new Rig().connect();
  const getToken = () => Promise.resolve(++asked < 3 ? (undefined as never) : "t");
  const channel = rig.client.channel("a", { getToken }).subscribe();
  await settle();
  expect(asked).toBe(1);
  await rig.clock.advance(3000);
  expect(channel.state.status).toBe("subscribed");
  expect(rig.errors.length).toBe(2);
});

test("a channel's getToken that never answers is asked again on the same connection", async () => {
  let asked = 0;
  const rig = await new Rig().connect();
  const getToken = () => (++asked === 1 ? new Promise<string>(() => undefined) : Promise.resolve("t"));
  const channel = rig.client.channel("a", { getToken }).subscribe();
  await rig.clock.advance(11_000);
  expect(channel.state.status).toBe("subscribed");
  expect(rig.server.connections.length).toBe(1);
});

test("a token that cannot be renewed for a moment does not end the subscription", async () => {
  let asked = 0;
  const getToken = () => (++asked === 1 ? Promise.reject(new Error("no network")) : Promise.resolve("new"));
  const rig = await new Rig({ token: "old", getToken }).connect();
  const answer = rig.server.answers.subscribe;
  rig.server.answers.subscribe = ({ id }) => ({ type: "error", id, code: 301, message: "expired" });
  const channel = rig.client.channel("a").subscribe();
  await settle();
  expect(channel.state.status).toBe("subscribing");
  await rig.clock.advance(1000);
  rig.server.answers.subscribe = answer as never;
  await rig.clock.advance(5000);
  expect(channel.state.status).toBe("subscribed");
});

test("told that the network is gone, the client waits its longest, also where the platform never admits it", async () => {
  const rig = await new Rig().connect();
  rig.surroundings.online = () => true;
  rig.server.last.close(1006, "");
  rig.surroundings.tell("offline");
  expect(rig.client.state).toMatchObject({ reason: "offline", retryAt: rig.clock.now() + 30_000 });
});

test("offline does not bring the client back before the server's `after`", async () => {
  const rig = await new Rig().connect();
  rig.server.last.send({ type: "disconnect", code: 4200, reason: "", reconnect: true, after: 100_000 });
  rig.surroundings.tell("offline");
  await rig.clock.advance(99_999);
  expect(rig.server.connections.length).toBe(1);
  await rig.clock.advance(1);
  expect(rig.server.connections.length).toBe(2);
});

test("tabs do not turn back each other's positions: each writes the channels it moved itself", async () => {
  const storage = { session: new FakeStorage(), local: new FakeStorage() };
  const options = { persist: "local", storage } as const;
  const kept = (): unknown => JSON.parse([...storage.local.items.values()][0] ?? "{}");
  const one = await new Rig(options).connect();
  one.client.channel("a").subscribe();
  await settle();
  one.server.last.send(message("a", 5));
  await one.clock.advance(200);
  // Another tab, which read a = 5 at its start and uses other channels.
  const two = await new Rig(options).connect();
  one.server.last.send(message("a", 20));
  await one.clock.advance(200);
  two.client.channel("b").subscribe();
  await two.clock.advance(200);
  expect(kept()).toMatchObject({ a: { offset: 20 }, b: { offset: 0 } });
  // What this tab once unsubscribed, another may keep.
  two.client.channel("a").subscribe();
  await settle();
  two.client.channel("a").unsubscribe();
  await two.clock.advance(200);
  one.server.last.send(message("a", 21));
  await one.clock.advance(200);
  two.server.last.send(message("b", 1));
  await two.clock.advance(200);
  expect(kept()).toMatchObject({ a: { offset: 21 }, b: { offset: 1 } });
});

test("a storage that is full is reported once, not at every message", async () => {
  const local = new FakeStorage();
  local.setItem = () => {
    throw new Error("full");
  };
  const rig = await new Rig({ persist: "local", storage: { session: new FakeStorage(), local } }).connect();
  rig.client.channel("a").subscribe();
  await settle();
  for (let offset = 1; offset <= 5; offset++) {
    rig.server.last.send(message("a", offset));
    await rig.clock.advance(200);
  }
  expect(rig.errors).toMatchObject([{ message: "full" }]);
});

test("a renewal of the token that the connection does not outlive is no error: the next one begins with the new token", async () => {
  let asked = 0;
  const rig = new Rig({ getToken: () => Promise.resolve(`t${++asked}`) });
  rig.server.connected = { expires: 100_000, ping: 0 };
  rig.server.answers.refresh = () => undefined;
  await rig.connect();
  await rig.clock.advance(90_000);
  expect(rig.server.last.sent("refresh")[0]?.token).toBe("t2");
  await rig.cut();
  expect(rig.server.last.sent("connect")[0]?.token).toBe("t2");
  expect(rig.errors).toEqual([]);
});

test("disconnect() leaves no timer behind, whatever was going on", async () => {
  const storage = { session: new FakeStorage(), local: new FakeStorage() };
  let asked = 0;
  const getToken = () => (++asked === 1 ? Promise.resolve("t") : new Promise<string>(() => undefined));
  const rig = new Rig({ getToken, persist: "local", storage });
  rig.server.connected = { user: "bob", expires: 3_600_000 };
  await rig.connect();
  rig.server.last.send(made("@bob"));
  rig.client.inbox().on("message", () => undefined);
  await settle();
  rig.server.last.send(message("@bob", 1));
  rig.server.answers.publish = () => undefined;
  const publishing = outcome(rig.client.channel("a").publish("x"));
  rig.client.channel("token", { getToken }).subscribe();
  rig.server.answers.subscribe = ({ id }) => ({ type: "error", id, code: 201, message: "later" });
  rig.client.channel("retry").subscribe();
  await settle();
  rig.surroundings.tell("visible");
  expect(rig.clock.pending).toBeGreaterThan(4);
  rig.client.disconnect();
  expect(await publishing).toBe("disconnected");
  expect(rig.clock.pending).toBe(0);
  expect(rig.surroundings.listeners).toBe(0);
});
