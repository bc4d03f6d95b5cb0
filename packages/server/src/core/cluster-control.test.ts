/** What backends ask, with several processes there: every one of them answers for all. */
import { describe, expect, test } from "bun:test";
import { DISCONNECTS, type Json } from "@longwire/protocol";
import { buildCluster, type Cluster } from "../../test/support/cluster.ts";
import { type CoreSession, settle } from "../../test/support/core.ts";
import { ReplyError } from "../base/failures.ts";
import { ASK_MS } from "../ports/node-bus.ts";

/** Lets what waits for a silent peer end; the answer is a failure where it was one. */
async function afterSilence<T>(cluster: Cluster, asked: Promise<T>): Promise<T | ReplyError> {
  const ended = asked.catch((error: unknown) => {
    if (error instanceof ReplyError) return error;
    throw error;
  });
  await settle();
  cluster.clock.advance(ASK_MS);
  return await ended;
}

function failureOf(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => "it was answered",
    (error: unknown) => error,
  );
}

function questionsOf(cluster: Cluster, name: string): readonly Json[] {
  return cluster.asked.map(({ question }) => question).filter((question) => (question as { ask: string }).ask === name);
}

function goodbyeOf(session: CoreSession): number | undefined {
  const goodbye = session.connection.frames().find((frame) => frame.type === "disconnect");
  return goodbye?.type === "disconnect" ? goodbye.code : undefined;
}

function hasNoBugs(cluster: Cluster): void {
  expect(cluster.houses.flatMap(({ errors }) => errors)).toEqual([]);
}

function asText(channel: string): { channel: string; data: string } {
  return { channel, data: "1" };
}

const KICKED = DISCONNECTS.kicked.code;

describe("[NB-5] who was reached", () => {
  test("counts the sessions of all processes, and says that it is about so many", async () => {
    const cluster = buildCluster(3);
    const [here, there, apart] = [cluster.house(0), cluster.house(1), cluster.house(2)];
    const { control } = here;
    expect(await control.publish(asText("a"))).toMatchObject({ online: false, subscribers: 0 });
    for (const house of [here, there, there, apart])
      await (await house.open()).say({ type: "subscribe", channel: "a" });
    const answer = await control.publish(asText("a"));
    expect(answer).toMatchObject({ offset: 2, online: true, subscribers: 4, approximate: true });
    expect(await control.publish({ ...asText("a"), history: false })).toEqual({
      channel: "a",
      epoch: answer.epoch,
      online: true,
      subscribers: 4,
      approximate: true,
    });
    hasNoBugs(cluster);
  });

  test("asks nobody where nobody else follows, and the answer is exact", async () => {
    const cluster = buildCluster(2);
    const { control } = cluster.house(0);
    const bob = await cluster.house(0).open();
    await bob.say({ type: "subscribe", channel: "a" });
    await (await cluster.house(1).open()).say({ type: "subscribe", channel: "b" });
    const { approximate, ...answer } = await control.publish(asText("a"));
    expect(answer).toMatchObject({ online: true, subscribers: 1 });
    expect(approximate).toBeUndefined();
    expect(cluster.asked).toEqual([]);
    // Nobody here, somebody there.
    expect(await control.publish(asText("b"))).toMatchObject({ online: true, subscribers: 1, approximate: true });
  });

  test("counts the sessions of a person in all processes", async () => {
    const cluster = buildCluster(2);
    const { control } = cluster.house(0);
    for (const house of [...cluster.houses, cluster.house(1)]) await house.open({ user: "bob" });
    expect(await control.publish(asText("@bob"))).toMatchObject({ online: true, subscribers: 3, approximate: true });
    expect(await control.publish(asText("@eve"))).toMatchObject({ online: false, subscribers: 0 });
  });

  test("asks once a second for a channel, and once a turn for many", async () => {
    const cluster = buildCluster(2);
    const { control } = cluster.house(0);
    for (const channel of ["a", "b", "c"]) {
      for (const session of [await cluster.house(1).open(), await cluster.house(1).open()])
        await session.say({ type: "subscribe", channel });
    }
    const answers = await Promise.all(["a", "b", "c", "a"].map((channel) => control.publish(asText(channel))));
    expect(answers.map(({ subscribers }) => subscribers)).toEqual([2, 2, 2, 2]);
    expect(questionsOf(cluster, "reached")).toEqual([{ ask: "reached", channels: ["a", "b", "c"] }]);
    cluster.clock.advance(999);
    await (await cluster.house(1).open()).say({ type: "subscribe", channel: "a" });
    expect(await control.publish(asText("a"))).toMatchObject({ subscribers: 2 });
    expect(questionsOf(cluster, "reached")).toHaveLength(1);
    cluster.clock.advance(1);
    expect(await control.publish(asText("a"))).toMatchObject({ subscribers: 3 });
    expect(questionsOf(cluster, "reached")).toHaveLength(2);
  });

  test("counts each process as one while too much would be asked, and asks again later", async () => {
    const cluster = buildCluster(2);
    const { control } = cluster.house(0);
    for (const session of [await cluster.house(1).open(), await cluster.house(1).open()])
      await session.say({ type: "subscribe", channel: "a" });
    const { broker } = cluster.house(1).engine;
    const channels = Array.from({ length: 2100 }, (_, at) => `c${at}`);
    await Promise.all(channels.map((channel) => broker.subscribe(channel)));
    await Promise.all(channels.map((channel) => control.publish(asText(channel))));
    const asked = questionsOf(cluster, "reached") as { channels: string[] }[];
    expect(asked.flatMap((question) => question.channels)).toHaveLength(2000);
    expect(await control.publish(asText("a"))).toMatchObject({ online: true, subscribers: 1, approximate: true });
    cluster.clock.advance(1000);
    expect(await control.publish(asText("a"))).toMatchObject({ online: true, subscribers: 2 });
  });

  test("asks so many questions a second, however few channels stand in each", async () => {
    const cluster = buildCluster(2);
    const { control } = cluster.house(0);
    const { broker } = cluster.house(1).engine;
    for (let at = 0; at < 250; at++) {
      await broker.subscribe(`c${at}`);
      await control.publish(asText(`c${at}`));
    }
    expect(questionsOf(cluster, "reached")).toHaveLength(200);
  });

  test("a process that hangs holds a publish up for a moment, and the next ones not at all", async () => {
    const cluster = buildCluster(2);
    const { control } = cluster.house(0);
    for (const session of [await cluster.house(1).open(), await cluster.house(1).open()])
      await session.say({ type: "subscribe", channel: "a" });
    cluster.cut(1);
    const first = control.publish(asText("a"));
    await settle();
    cluster.clock.advance(250);
    expect(await first).toMatchObject({ online: true, subscribers: 1, approximate: true });
    expect(await control.publish(asText("a"))).toMatchObject({ online: true, subscribers: 1, approximate: true });
    expect(questionsOf(cluster, "reached")).toHaveLength(1);
    cluster.clock.advance(ASK_MS);
    cluster.heal(1);
    await settle();
    expect(await control.publish(asText("a"))).toMatchObject({ subscribers: 2 });
    hasNoBugs(cluster);
  });

  test("a process that hangs does not hold up publishes to one channel after the other either", async () => {
    const cluster = buildCluster(3);
    const { control } = cluster.house(0);
    const names = Array.from({ length: 20 }, (_, at) => `c${at}`);
    for (const at of [1, 2]) {
      const session = await cluster.house(at).open();
      for (const channel of names) await session.say({ type: "subscribe", channel });
    }
    cluster.cut(1);
    const first = control.publish(asText("c0"));
    await settle();
    cluster.clock.advance(250);
    expect(await first).toMatchObject({ subscribers: 2 });
    for (const channel of names) expect(await control.publish(asText(channel))).toMatchObject({ subscribers: 2 });
    cluster.heal(1);
    cluster.clock.advance(ASK_MS);
    await settle();
    cluster.clock.advance(1000);
    const bob = await cluster.house(1).open();
    await bob.say({ type: "subscribe", channel: "c1" });
    expect(await control.publish(asText("c1"))).toMatchObject({ subscribers: 3 });
    hasNoBugs(cluster);
  });

  test("publishes keep their order, whatever is asked in between", async () => {
    const cluster = buildCluster(2);
    const bob = await cluster.house(1).open();
    for (const channel of ["a", "b"]) await bob.say({ type: "subscribe", channel });
    const { control } = cluster.house(0);
    await Promise.all(["a", "b", "a", "b"].map((channel, at) => control.publish({ channel, data: String(at) })));
    await settle();
    expect(bob.connection.frames().flatMap((frame) => (frame.type === "message" ? [frame.data] : []))).toEqual([
      0, 1, 2, 3,
    ]);
  });
});

describe("[NB-1] lists and sums", () => {
  test("of sessions, in name order, page by page", async () => {
    const cluster = buildCluster(3);
    const ids: string[] = [];
    for (let at = 0; at < 10; at++) ids.push((await cluster.house(at % 3).open()).handle.id);
    ids.sort();
    const { control } = cluster.house(1);
    const whole = await control.sessions({ limit: 10 });
    expect(whole.sessions.map(({ session }) => session)).toEqual(ids);
    expect(whole.more).toBeFalse();
    const paged: string[] = [];
    for (let after: string | undefined; ; after = paged.at(-1)) {
      const { sessions, more } = await control.sessions({ after, limit: 4 });
      paged.push(...sessions.map(({ session }) => session));
      if (!more) break;
      expect(sessions).toHaveLength(4);
    }
    expect(paged).toEqual(ids);
    expect((await control.sessions({ limit: 9 })).more).toBeTrue();
    hasNoBugs(cluster);
  });

  test("of users, each once, with all their sessions", async () => {
    const cluster = buildCluster(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    for (const user of ["ann", "bob", "eve"]) await here.open({ user });
    for (const user of ["bob", "bob", "dan"]) await there.open({ user });
    expect(await there.control.users({ limit: 10 })).toEqual({
      users: [
        { user: "ann", sessions: 1 },
        { user: "bob", sessions: 3 },
        { user: "dan", sessions: 1 },
        { user: "eve", sessions: 1 },
      ],
      more: false,
    });
    expect(await here.control.users({ after: "ann", limit: 1 })).toEqual({
      users: [{ user: "bob", sessions: 3 }],
      more: true,
    });
    const bob = await here.control.user("bob");
    expect([bob.online, bob.sessions.length]).toEqual([true, 3]);
    expect(await here.control.user("dan")).toMatchObject({ online: true, sessions: [{ user: "dan" }] });
    expect(await there.control.user("nobody")).toEqual({ user: "nobody", online: false, sessions: [] });
  });

  test("of channels, followed anywhere, with the subscribers of all", async () => {
    const cluster = buildCluster(3);
    const [here, there, apart] = [cluster.house(0), cluster.house(1), cluster.house(2)];
    await here.publish("kept", 1);
    for (const [house, channel] of [
      [here, "a"],
      [there, "a"],
      [there, "a"],
      [apart, "b"],
      [there, "kept"],
      [apart, "z"],
      [apart, "zz"],
    ] as const)
      await (await house.open()).say({ type: "subscribe", channel, presence: true });
    const shown = async (query: { after?: string; prefix?: string; limit: number }): Promise<unknown> => {
      const { channels, more } = await here.control.channels(query);
      return [channels.map(({ channel, offset, subscribers, users }) => [channel, offset, subscribers, users]), more];
    };
    expect(await shown({ limit: 2 })).toEqual([
      [
        ["a", 0, 3, 3],
        ["b", 0, 1, 1],
      ],
      true,
    ]);
    expect(await shown({ after: "b", limit: 3 })).toEqual([
      [
        ["kept", 1, 1, 1],
        ["z", 0, 1, 1],
        ["zz", 0, 1, 1],
      ],
      false,
    ]);
    expect(await shown({ after: "kept", limit: 1 })).toEqual([[["z", 0, 1, 1]], true]);
    expect(await shown({ prefix: "k", limit: 2 })).toEqual([[["kept", 1, 1, 1]], false]);
    expect(await apart.control.channel("a")).toMatchObject({ subscribers: 3, users: 3 });
    expect(await failureOf(apart.control.channel("a b"))).toMatchObject({ error: "badChannel" });
  });

  test("of everything, and of a process alone they are its own", async () => {
    const cluster = buildCluster(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    for (const house of [here, there, there]) {
      const session = await house.open({ user: "bob" });
      await session.say({ type: "subscribe", channel: "a" });
    }
    await here.publish("a", 1);
    expect(await here.control.stats()).toMatchObject({
      processes: 2,
      sessions: 3,
      users: 1,
      channels: 4,
      subscriptions: 6,
      publications: 2,
      deliveries: 3,
    });
    cluster.kill(1);
    expect(await here.control.stats()).toMatchObject({ processes: 1, sessions: 1, users: 1, subscriptions: 2 });
    expect(await here.control.users({ limit: 5 })).toEqual({ users: [{ user: "bob", sessions: 1 }], more: false });
  });

  test("[NB-7] leave out a process that does not answer", async () => {
    const cluster = buildCluster(3);
    const { control } = cluster.house(0);
    for (const house of cluster.houses) {
      const session = await house.open({ user: "bob" });
      await session.say({ type: "subscribe", channel: "a" });
    }
    cluster.cut(2);
    expect(await afterSilence(cluster, control.stats())).toMatchObject({ processes: 2, sessions: 2, users: 1 });
    expect(await afterSilence(cluster, control.users({ limit: 5 }))).toMatchObject({ users: [{ sessions: 2 }] });
    expect(await afterSilence(cluster, control.channel("a"))).toMatchObject({ subscribers: 2 });
    const { sessions } = (await afterSilence(cluster, control.sessions({ limit: 5 }))) as { sessions: unknown[] };
    expect(sessions).toHaveLength(2);
    hasNoBugs(cluster);
  });

  test("one process alone asks nobody", async () => {
    const cluster = buildCluster(2);
    cluster.kill(1);
    const { control } = cluster.house(0);
    const { handle } = await cluster.house(0).open({ user: "bob" });
    await control.publish({ channel: "@bob", data: "1" });
    await control.stats();
    await control.users({ limit: 1 });
    await control.user("bob");
    await control.sessions({ limit: 1 });
    await control.session(handle.id);
    await control.channels({ limit: 1 });
    await control.channel("a");
    await control.subscribeUser("bob", "a");
    await control.disconnectUser("bob", { reconnect: false });
    expect(await failureOf(control.session("nobody"))).toMatchObject({ error: "notFound" });
    expect(cluster.asked).toEqual([]);
  });
});

describe("[NB-2] what is asked of a session", () => {
  test("is done where it is, and what was wrong comes back as that", async () => {
    const cluster = buildCluster(3);
    const { control } = cluster.house(0);
    const bob = await cluster.house(1).open();
    const { id } = bob.handle;
    expect(await control.session(id)).toMatchObject({ session: id, channels: [] });
    await control.send(id, { data: '{"hi":1}', name: "greeting" });
    await control.subscribeSession(id, "a");
    await control.subscribeSession(id, "b");
    await control.unsubscribeSession(id, "b");
    await control.bindUser(id, "bob");
    await control.putSessionData(id, { a: 1, b: 2 });
    expect(await control.patchSessionData(id, { b: null, c: ["x"] })).toEqual({ a: 1, c: ["x"] });
    expect(await control.sessionData(id)).toEqual({ a: 1, c: ["x"] });
    await control.setSessionState(id, "seat", 7);
    expect(await control.addSessionState(id, "seat", 1)).toBe(8);
    expect(await control.session(id)).toMatchObject({ user: "bob", channels: ["a", "@bob"] });
    await settle();
    expect(bob.connection.frames()).toContainEqual({ type: "message", data: { hi: 1 }, name: "greeting" });
    expect(await failureOf(control.unsubscribeSession(id, "b"))).toMatchObject({ error: "notSubscribed" });
    expect(await failureOf(control.subscribeSession(id, "@eve"))).toMatchObject({ error: "forbidden" });
    expect(await failureOf(control.bindUser(id, "a b"))).toMatchObject({ error: "badField", path: "user" });
    await control.bindUser(id, null);
    expect((await control.session(id)).user).toBeUndefined();
    await control.disconnectSession(id, { reconnect: false });
    expect(goodbyeOf(bob)).toBe(KICKED);
    expect(await failureOf(control.session(id))).toMatchObject({ error: "notFound" });
    // Only the process that made it, as long as it was there.
    const asked = cluster.asked.slice(
      0,
      cluster.asked.findIndex(({ to }) => to !== 1),
    );
    expect(asked.length).toBeGreaterThan(10);
    hasNoBugs(cluster);
  });

  test("is tried once, also where it fails", async () => {
    let isAway = false;
    const cluster = buildCluster(3, {
      wrap: (engine) => ({
        ...engine,
        state: {
          ...engine.state,
          set: (...told) => (isAway ? Promise.reject(new ReplyError("unavailable")) : engine.state.set(...told)),
        },
      }),
    });
    const { control } = cluster.house(0);
    const { id } = (await cluster.house(1).open()).handle;
    isAway = true;
    expect(await failureOf(control.putSessionData(id, { a: 1 }))).toMatchObject({ error: "unavailable" });
    expect(await failureOf(control.subscribeSession(id, "@eve"))).toMatchObject({ error: "forbidden" });
    expect(questionsOf(cluster, "ofSession")).toHaveLength(2);
  });

  test("finds one that goes on elsewhere than where it was made", async () => {
    const cluster = buildCluster(3);
    const first = await cluster.house(1).open({ user: "bob" });
    const { id } = first.handle;
    await first.drop();
    const again = await cluster.house(2).open({ user: "bob", session: id });
    expect(again.handle.id).toBe(id);
    expect(await cluster.house(0).control.session(id)).toMatchObject({ session: id, user: "bob" });
    // Its maker does not know it any more, and may be gone.
    expect(await cluster.house(1).control.session(id)).toMatchObject({ session: id });
    cluster.kill(1);
    await cluster.house(0).control.disconnectSession(id, { reconnect: false });
    expect(goodbyeOf(again)).toBe(KICKED);
  });

  test("is `unavailable` where the session may be with a process that does not answer, and done elsewhere all the same", async () => {
    const cluster = buildCluster(3);
    const { control } = cluster.house(0);
    const lost = await cluster.house(1).open();
    const made = await cluster.house(1).open({ user: "bob" });
    await made.drop();
    await cluster.house(2).open({ user: "bob", session: made.handle.id });
    cluster.cut(1);
    const asked = control.session(lost.handle.id);
    const found = control.session(made.handle.id);
    const unknown = control.session("nobody");
    for (const answer of [asked, found, unknown]) void answer.catch(() => undefined);
    await settle();
    cluster.clock.advance(ASK_MS);
    await settle();
    cluster.clock.advance(ASK_MS);
    expect(await failureOf(asked)).toMatchObject({ error: "unavailable" });
    expect(await found).toMatchObject({ session: made.handle.id });
    expect(await failureOf(unknown)).toMatchObject({ error: "unavailable" });
    cluster.kill(1);
    expect(await failureOf(control.session(lost.handle.id))).toMatchObject({ error: "notFound" });
    hasNoBugs(cluster);
  });
});

describe("[NB-4] a user is disconnected", () => {
  test("everywhere, and is told how to go on", async () => {
    const cluster = buildCluster(3);
    const sessions: CoreSession[] = [];
    for (const house of [...cluster.houses, cluster.house(2)]) sessions.push(await house.open({ user: "bob" }));
    const eve = await cluster.house(1).open({ user: "eve" });
    expect(await cluster.house(0).control.disconnectUser("bob", { reconnect: false, reason: "bye" })).toBe(4);
    expect(sessions.map(goodbyeOf)).toEqual([KICKED, KICKED, KICKED, KICKED]);
    expect(goodbyeOf(eve)).toBeUndefined();
    expect(await cluster.house(1).control.user("bob")).toMatchObject({ online: false });
    hasNoBugs(cluster);
  });

  test("[CO-24] those too who are connecting elsewhere at this moment", async () => {
    const cluster = buildCluster(2);
    const there = cluster.house(1);
    const tokens = JSON.stringify({ user: "bob", issuedAt: cluster.clock.now() - 1000 });
    const connecting = await there.open({ connect: false });
    const ended = cluster.house(0).control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
    // At every step of the other's way; one that has asked the store before the revocation was kept gets in, and out again.
    const others: CoreSession[] = [];
    const saying: Promise<void>[] = [connecting.say({ type: "connect", token: tokens })];
    for (let turn = 0; turn < 12; turn++) {
      const other = await there.open({ connect: false });
      others.push(other);
      saying.push(other.say({ type: "connect", token: tokens }));
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    await ended;
    await Promise.all(saying);
    expect(await cluster.house(0).control.user("bob")).toMatchObject({ online: false });
    const ends = [connecting, ...others].map((session) => session.connection.frames().map(({ type }) => type));
    expect(ends.some((types) => types.includes("connected") && types.includes("disconnect"))).toBeTrue();
    expect(ends.some((types) => types.includes("error"))).toBeTrue();
    expect(await there.control.revocation("bob")).toMatchObject({ user: "bob" });
    await there.control.liftRevocation("bob");
    expect(await failureOf(cluster.house(0).control.revocation("bob"))).toMatchObject({ error: "notFound" });
    hasNoBugs(cluster);
  });

  test("[CO-24] also one whose process had asked the store before, and gets its answer late", async () => {
    const late: (() => void)[] = [];
    const cluster = buildCluster(2, {
      wrap: (engine, at) => ({
        ...engine,
        state: {
          ...engine.state,
          async get(key) {
            const value = await engine.state.get(key);
            if (at === 1) await new Promise<void>((resolve) => late.push(resolve));
            return value;
          },
        },
      }),
    });
    const bob = await cluster.house(1).open({ connect: false });
    await bob.say({ type: "connect", token: JSON.stringify({ user: "bob", issuedAt: 1 }) });
    expect(bob.connection.frames()).toEqual([]);
    const ended = cluster.house(0).control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
    await settle();
    expect(questionsOf(cluster, "disconnectUser")).toHaveLength(1);
    // What it asked, and what it has asked since, in this order.
    for (const answer of late) answer();
    expect(await ended).toBe(1);
    expect(goodbyeOf(bob)).toBe(KICKED);
    expect(await cluster.house(0).control.user("bob")).toMatchObject({ online: false });
  });

  test("or `unavailable` where a process does not answer; those who can be reached are gone, and it may be asked again", async () => {
    const cluster = buildCluster(3);
    const sessions: CoreSession[] = [];
    for (const house of cluster.houses) sessions.push(await house.open({ user: "bob" }));
    const { control } = cluster.house(0);
    cluster.cut(2);
    const asked = control.disconnectUser("bob", { reconnect: false });
    expect(await afterSilence(cluster, asked)).toMatchObject({ error: "unavailable" });
    expect(sessions.map(goodbyeOf)).toEqual([KICKED, KICKED, undefined]);
    cluster.heal(2);
    expect(await control.disconnectUser("bob", { reconnect: false })).toBe(1);
    expect(sessions.map(goodbyeOf)).toEqual([KICKED, KICKED, KICKED]);
  });
});

describe("[NB-9] the channels of a user", () => {
  test("are given and taken everywhere", async () => {
    const cluster = buildCluster(3);
    const sessions: CoreSession[] = [];
    for (const house of [cluster.house(1), cluster.house(1), cluster.house(2)])
      sessions.push(await house.open({ user: "bob" }));
    const { control } = cluster.house(0);
    expect(await control.subscribeUser("bob", "a")).toBe(3);
    for (const session of sessions)
      expect(await control.session(session.handle.id)).toMatchObject({ channels: ["@bob", "a"] });
    await sessions[0]?.say({ type: "unsubscribe", channel: "a" });
    expect(await control.unsubscribeUser("bob", "a")).toBe(2);
    expect(await control.channel("a")).toMatchObject({ subscribers: 0 });
    expect(await control.subscribeUser("nobody", "a")).toBe(0);
  });

  test("what is wrong is said as it is, also where only others have sessions; silence is `unavailable`", async () => {
    const cluster = buildCluster(2);
    await cluster.house(1).open({ user: "bob" });
    const { control } = cluster.house(0);
    expect(await failureOf(control.subscribeUser("bob", "@eve"))).toMatchObject({ error: "forbidden" });
    expect(await failureOf(control.subscribeUser("bob", "a b"))).toMatchObject({
      error: "badChannel",
      path: "channel",
    });
    cluster.cut(1);
    expect(await afterSilence(cluster, control.subscribeUser("bob", "a"))).toMatchObject({ error: "unavailable" });
    expect(await afterSilence(cluster, control.unsubscribeUser("bob", "a"))).toMatchObject({ error: "unavailable" });
  });

  test("what a process of another version asks is refused, and nothing breaks", async () => {
    const cluster = buildCluster(2);
    const other = cluster.buses.at(0);
    const { self } = cluster.house(1).engine.bus;
    for (const question of [
      null,
      7,
      "stats",
      [],
      {},
      { ask: 7 },
      { ask: "constructor" },
      { ask: "tomorrow", of: ["a"] },
      { ask: "ofSession", method: "stats", parameters: [] },
      { ask: "ofSession", method: "constructor", parameters: [] },
    ])
      expect(await failureOf(other.ask(self, question))).toMatchObject({ error: "unavailable" });
    hasNoBugs(cluster);
    // Known, and said in another way: a bug, which the log shows and the asker survives.
    expect(await failureOf(other.ask(self, { ask: "reached" }))).toMatchObject({ error: "unavailable" });
    expect(cluster.house(1).errors).toHaveLength(1);
    expect(await cluster.house(0).control.stats()).toMatchObject({ processes: 2 });
  });
});
