/** Users of several processes, each counted once. */
import { expect, test } from "bun:test";
import { buildCluster, type Cluster } from "../../test/support/cluster.ts";
import { buildCore, settle } from "../../test/support/core.ts";
import { ReplyError } from "../base/failures.ts";
import type { PresenceStore } from "../ports/presence.ts";

async function usersOf(cluster: Cluster, at = 0): Promise<number> {
  await settle();
  return (await cluster.house(at).control.stats()).users;
}

function failureOf(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => "it was answered",
    (error: unknown) => error,
  );
}

interface Told {
  readonly calls: string[];
  isAway: boolean;
}

/** A cluster whose first process writes down what it tells about users, unless the engine is away. */
function buildTold(): { cluster: Cluster; told: Told } {
  const told: Told = { calls: [], isAway: false };
  const tell = <T>(call: string, tellEngine: () => Promise<T>): Promise<T> => {
    if (told.isAway) return Promise.reject(new ReplyError("unavailable"));
    told.calls.push(call);
    return tellEngine();
  };
  const cluster = buildCluster(2, {
    wrap(engine, at) {
      if (at > 0) return engine;
      const { presence: inner } = engine;
      const presence: PresenceStore = {
        put: (channel, member) => tell(`+${channel} ${member.user}`, () => inner.put(channel, member)),
        drop: (channel, session) => tell(`-${channel} ${session.slice(6)}`, () => inner.drop(channel, session)),
        list: (channel, limit) => inner.list(channel, limit),
        count: (channel) => inner.count(channel),
      };
      return { ...engine, presence };
    },
  });
  return { cluster, told };
}

test("[NB-6] a user counts once, wherever the sessions are, and until the last of them is gone", async () => {
  const cluster = buildCluster(3);
  const [here, there, apart] = [cluster.house(0), cluster.house(1), cluster.house(2)];
  const sessions = [
    await here.open({ user: "bob" }),
    await there.open({ user: "bob" }),
    await there.open({ user: "bob" }),
  ];
  await here.open();
  await apart.open({ user: "eve" });
  expect(await usersOf(cluster, 2)).toBe(2);
  for (const [gone, left] of [2, 2, 1].entries()) {
    await sessions[gone]?.drop();
    expect(await usersOf(cluster)).toBe(left);
  }
  // Who came again elsewhere with the same session.
  const again = await apart.open({ user: "bob", session: sessions[0]?.handle.id ?? "" });
  expect(await usersOf(cluster)).toBe(2);
  await again.say({ type: "ping", id: 1 });
  cluster.kill(2);
  expect(await usersOf(cluster)).toBe(0);
});

test("[NB-6] a user bound to a session counts, and the one it had does not", async () => {
  const cluster = buildCluster(2);
  const page = await cluster.house(1).open();
  expect(await usersOf(cluster)).toBe(0);
  for (const [user, users] of [
    ["bob", 1],
    ["eve", 1],
    [null, 0],
  ] as const) {
    await cluster.house(0).control.bindUser(page.handle.id, user);
    expect(await usersOf(cluster)).toBe(users);
  }
});

test("[NB-6] the engine is told of the first session and of the last, not of each", async () => {
  const { cluster, told } = buildTold();
  const here = cluster.house(0);
  const first = await here.open({ user: "bob" });
  const second = await here.open({ user: "bob" });
  expect(told.calls).toEqual(["+@ bob"]);
  await first.drop();
  expect(told.calls).toEqual(["+@ bob"]);
  await second.drop();
  expect(told.calls).toEqual(["+@ bob", "-@ bob"]);
  // Who is somebody else and the same again within a turn has not been away.
  const third = await here.open({ user: "bob" });
  told.calls.length = 0;
  await here.control.bindUser(third.handle.id, "bob");
  expect(told.calls).toEqual(["+@ bob"]);
  expect(await usersOf(cluster)).toBe(1);
});

test("[NB-6] what the engine could not be told is told again, as it is by then", async () => {
  const { cluster, told } = buildTold();
  const here = cluster.house(0);
  const bob = await here.open({ user: "bob" });
  const { timers } = cluster.clock;
  told.isAway = true;
  await bob.drop();
  await (await here.open({ user: "bob" })).drop();
  const eve = await here.open({ user: "eve" });
  await here.open({ user: "ann" });
  await eve.drop();
  expect(cluster.clock.timers - timers).toBe(1);
  cluster.clock.advance(5000);
  await settle();
  told.isAway = false;
  expect(await usersOf(cluster)).toBe(1);
  cluster.clock.advance(5000);
  expect(await usersOf(cluster)).toBe(1);
  expect((await cluster.engine.presence.list("@", 10)).members.map(({ user }) => user)).toEqual(["ann"]);
  expect(here.errors).toEqual([]);
  // Nothing is left to be told.
  const before = cluster.clock.timers;
  cluster.clock.advance(5000);
  expect(cluster.clock.timers).toBe(before);
});

test("[NB-6] nobody can look into the roster, or enter it", async () => {
  const cluster = buildCluster(2);
  const { control } = cluster.house(0);
  const bob = await cluster.house(0).open({ user: "bob" });
  for (const ask of [
    () => control.presence("@"),
    () => control.channel("@"),
    () => control.history("@", {}),
    () => control.publish({ channel: "@", data: "1" }),
    () => control.subscribeUser("bob", "@"),
    () => control.subscribeSession(bob.handle.id, "@"),
  ])
    expect(await failureOf(ask())).toMatchObject({ error: "badChannel" });
  expect(await failureOf(control.bindUser(bob.handle.id, ""))).toMatchObject({ error: "badField" });
  await bob.say('{"type":"subscribe","channel":"@","events":true,"presence":true,"id":1}');
  await bob.say('{"type":"presence","channel":"@","id":2}');
  expect(bob.connection.frames().slice(-2)).toMatchObject([
    { type: "error", id: 1 },
    { type: "error", id: 2 },
  ]);
  expect((await control.channels({ limit: 10 })).channels.map(({ channel }) => channel)).toEqual(["@bob"]);
  expect(await usersOf(cluster)).toBe(1);
});

test("one process alone tells nobody", async () => {
  const house = buildCore();
  await house.open({ user: "bob" });
  await settle();
  expect(await house.engine.presence.count("@")).toEqual({ users: 0, sessions: 0 });
  expect((await house.control.stats()).users).toBe(1);
});
