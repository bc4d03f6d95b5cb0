/** Sessions that are asked for by several at once, or changed and ended while they are on their way. */
import { expect, spyOn, test } from "bun:test";
import { type CoreHouse, settle } from "../../test/support/core.ts";
import {
  arrive,
  clusterOf,
  goodbyeOf,
  hasNoBugs,
  namesAsked,
  pass,
  RESUME_MS,
  resumedOf,
  stateOf,
  untilAsked,
} from "../../test/support/moving.ts";
import { ASK_MS } from "../ports/node-bus.ts";

/** What the process asks the store about keys that begin so waits until it is let go. */
function holdUp({ engine: { state } }: CoreHouse, prefix: string): () => void {
  const get = state.get.bind(state);
  const gate = Promise.withResolvers<void>();
  spyOn(state, "get").mockImplementation(async (key) => {
    if (key.startsWith(prefix)) await gate.promise;
    return await get(key);
  });
  return () => gate.resolve();
}

test("[BY-9] one that was kicked in the process that took it goes on nowhere, whoever had asked for it before", async () => {
  const cluster = clusterOf(3);
  const [maker, slow, quick] = [cluster.house(0), cluster.house(1), cluster.house(2)];
  const first = await maker.open({ user: "bob" });
  const { id } = first.handle;
  await maker.control.putSessionData(id, { a: 1 });
  const letGo = holdUp(slow, "revoked/");
  const late = arrive(slow, id, { token: "bob" });
  await settle();
  const again = await quick.open({ user: "bob", session: id });
  expect(resumedOf(again)).toBe(true);
  await maker.control.disconnectSession(id, { reconnect: false });
  expect(goodbyeOf(again)).toBe("kicked");
  letGo();
  await settle();
  expect(resumedOf(late)).toBe(false);
  expect(late.handle.id).not.toBe(id);
  hasNoBugs(cluster);
});

test("[BY-9] who could not have it, since it was kicked, says so to the next that asks", async () => {
  const cluster = clusterOf(3);
  const [maker, taker, third] = [cluster.house(0), cluster.house(1), cluster.house(2)];
  const { id } = (await maker.open()).handle;
  const late = arrive(taker, id);
  await untilAsked(cluster, "yield");
  await maker.control.disconnectSession(id, { reconnect: false });
  await settle();
  expect(resumedOf(late)).toBe(false);
  expect(await third.engine.bus.ask(taker.engine.bus.self, { ask: "yield", session: id })).toEqual({ has: "over" });
});

test("[BY-9] one that was kicked where its process had been silent, and was believed to be dead, goes on nowhere", async () => {
  const cluster = clusterOf(2);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const ids: string[] = [];
  for (let n = 0; n < 2; n++) {
    const { id } = (await there.open()).handle;
    await there.control.putSessionData(id, { n });
    ids.push(id);
  }
  cluster.cut(1);
  const pages = [arrive(here, ids[0] as string)];
  await settle();
  await pass(cluster, ASK_MS);
  // The first has found out that nobody answers: its process is not even asked about the second.
  pages.push(arrive(here, ids[1] as string));
  await settle();
  expect(pages.map(resumedOf)).toEqual([true, true]);
  cluster.heal(1);
  for (const id of ids) await there.control.disconnectSession(id, { reconnect: false });
  await pass(cluster, 10_000);
  expect(pages.map(goodbyeOf)).toEqual(["kicked", "kicked"]);
  hasNoBugs(cluster);
});

test("[CO-9] [NB-9] a channel that is given to a user while the session is on its way is given when it has arrived", async () => {
  const cluster = clusterOf(2);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const first = await there.open({ user: "bob" });
  const { id } = first.handle;
  const again = arrive(here, id, { token: "bob" });
  await untilAsked(cluster, "yield");
  // Its old process has let go of it.
  await new Promise<void>((resolve) => setImmediate(resolve));
  await here.control.subscribeUser("bob", "news");
  await settle();
  expect(again.connection.frames()[0]).toMatchObject({ type: "connected", resumed: true });
  await again.drop();
  const back = await there.open({ user: "bob", session: id });
  expect((await here.control.session(id)).channels.toSorted()).toEqual(["@bob", "news"]);
  expect(resumedOf(back)).toBe(true);
  hasNoBugs(cluster);
});

test("[NB-3] one whose client leaves it where it was before it is asked for goes on as it was last", async () => {
  const cluster = clusterOf(2);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const first = await there.open({ user: "alice" });
  const { id } = first.handle;
  const letGo = holdUp(here, "revoked/");
  const again = arrive(here, id, { token: "alice" });
  await settle();
  await there.control.putSessionData(id, { a: 1 });
  await there.control.subscribeSession(id, "vip");
  await first.drop();
  letGo();
  await settle();
  expect(resumedOf(again)).toBe(true);
  expect(await there.control.sessionData(id)).toEqual({ a: 1 });
  expect((await there.control.session(id)).channels.toSorted()).toEqual(["@alice", "vip"]);
  hasNoBugs(cluster);
});

test("[CO-13] two connections to the process to which it is on its way: the later has it, with all that arrives", async () => {
  const cluster = clusterOf(2);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const first = await there.open({ user: "alice" });
  const { id } = first.handle;
  const pages = [arrive(here, id, { token: "alice" })];
  await untilAsked(cluster, "yield");
  void there.control.bindUser(id, "bob");
  void there.control.putSessionData(id, { a: 1 });
  pages.push(arrive(here, id, { token: "alice" }));
  const changed = here.control.patchSessionData(id, { b: 2 });
  await settle();
  await changed;
  expect(pages.map(goodbyeOf)).toEqual(["replaced", undefined]);
  expect(pages[1]?.connection.frames()[0]).toMatchObject({ resumed: true, user: "bob" });
  expect(await there.control.sessionData(id)).toEqual({ a: 1, b: 2 });
  expect((await there.control.session(id)).channels).toEqual(["@bob"]);
  expect(namesAsked(cluster).filter((name) => name.startsWith("yield"))).toHaveLength(1);
  hasNoBugs(cluster);
});

test("[NB-3] of two that took it out of the store the last one to write dies: the other goes on as the one that has it", async () => {
  const cluster = clusterOf(4);
  const first = await cluster.house(3).open();
  const { id } = first.handle;
  await cluster.house(3).control.putSessionData(id, { a: 1 });
  await first.drop();
  cluster.kill(3);
  const takers = [0, 1].map((at) => arrive(cluster.house(at), id));
  await settle();
  cluster.kill(1);
  await pass(cluster, 10_000);
  expect(takers.map(goodbyeOf)).toEqual([undefined, undefined]);
  const back = await cluster.house(2).open({ session: id });
  expect([resumedOf(back), goodbyeOf(takers[0] as (typeof takers)[number])]).toEqual([true, "replaced"]);
  hasNoBugs(cluster);
});

test("[NB-3] one that has gone on from where it went is asked for where it is, whatever is remembered", async () => {
  const cluster = clusterOf(3);
  const { id } = (await cluster.house(0).open()).handle;
  await (await cluster.house(1).open({ session: id })).drop();
  const page = await cluster.house(2).open({ session: id });
  const again = await cluster.house(0).open({ session: id });
  expect([resumedOf(again), goodbyeOf(page)]).toEqual([true, "replaced"]);
  hasNoBugs(cluster);
});

test("[NB-3] one that is asked for elsewhere while its client comes back where it is goes on in one of both, as it was last", async () => {
  const cluster = clusterOf(2);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const first = await there.open({ user: "bob" });
  const { id } = first.handle;
  const letGo = holdUp(there, "revoked/");
  const back = arrive(there, id, { token: "bob" });
  await settle();
  const again = await here.open({ user: "bob", session: id });
  await here.control.putSessionData(id, { a: 1 });
  letGo();
  await settle();
  expect([resumedOf(back), goodbyeOf(again)]).toEqual([true, "replaced"]);
  expect(await here.control.sessionData(id)).toEqual({ a: 1 });
  hasNoBugs(cluster);
});

test("[NB-3] who takes the place of one that was not looked at again is looked at in its stead", async () => {
  const cluster = clusterOf(2);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const first = await there.open();
  const { id } = first.handle;
  await there.control.putSessionData(id, { a: 1 });
  cluster.cut(1);
  const pages = [arrive(here, id)];
  await settle();
  await pass(cluster, ASK_MS);
  pages.push(await here.open({ session: id }));
  expect(pages.map(goodbyeOf)).toEqual(["replaced", undefined]);
  cluster.heal(1);
  await pass(cluster, 10_000);
  expect(goodbyeOf(first)).toBe("replaced");
  hasNoBugs(cluster);
});

test("[BY-9] of two that took it out of the store one is kicked: the other does not stay either", async () => {
  const cluster = clusterOf(4);
  const first = await cluster.house(3).open();
  const { id } = first.handle;
  await cluster.house(3).control.putSessionData(id, { a: 1 });
  await first.drop();
  cluster.kill(3);
  const takers = [0, 1].map((at) => arrive(cluster.house(at), id));
  await settle();
  await cluster.house(0).control.disconnectSession(id, { reconnect: false });
  await settle();
  expect(takers.map(goodbyeOf)).toEqual(["kicked", "replaced"]);
  expect(resumedOf(await cluster.house(2).open({ session: id }))).toBe(false);
  hasNoBugs(cluster);
});

test("[BY-9] one to which nothing was given, and that was taken up where it is, leaves nothing behind when it is kicked", async () => {
  const cluster = clusterOf(2);
  const there = cluster.house(1);
  const { id } = (await there.open()).handle;
  await there.open({ session: id });
  await there.control.disconnectSession(id, { reconnect: false });
  await settle();
  expect(await cluster.engine.state.get(`session/${id}`)).toBeUndefined();
});

test("[RD-8] [NB-3] a process that was taken for dead leaves alone what goes on elsewhere", async () => {
  const cluster = clusterOf(3);
  const [here, there] = [cluster.house(0), cluster.house(1)];
  const pages = [await there.open({ user: "bob" }), await there.open({ user: "eve" }), await there.open()];
  const [kept, kicked, left] = pages.map(({ handle }) => handle.id) as [string, string, string];
  for (const id of [kept, kicked]) await there.control.addSessionState(id, id, 1);
  cluster.bury(1);
  const again = await here.open({ user: "bob", session: kept });
  await here.control.putSessionData(kept, { a: 1 });
  await here.open({ user: "eve", session: kicked });
  await here.control.disconnectSession(kicked, { reconnect: false });
  await pass(cluster, 10_000);
  cluster.fence(1);
  await settle();
  expect(pages.map(goodbyeOf)).toEqual(["unavailableNow", "unavailableNow", "unavailableNow"]);
  // What belongs to the session is not cut short either.
  await pass(cluster, 3 * RESUME_MS);
  expect(await stateOf(cluster, kept)).toBe(1);
  cluster.kill(0);
  const back = await cluster.house(2).open({ user: "bob", session: kept });
  expect([resumedOf(again), resumedOf(back)]).toEqual([true, true]);
  expect(await cluster.house(2).control.sessionData(kept)).toEqual({ a: 1 });
  expect(resumedOf(await cluster.house(2).open({ user: "eve", session: kicked }))).toBe(false);
  expect(await cluster.engine.state.get(`session/${left}`)).toBeUndefined();
  hasNoBugs(cluster);
});

test("[RD-8] the clients of a process that was taken for dead come back to their sessions", async () => {
  const cluster = clusterOf(2);
  const there = cluster.house(1);
  const pages = [await there.open({ user: "bob" }), await there.open()];
  await there.control.putSessionData((pages[0] as (typeof pages)[number]).handle.id, { a: 1 });
  cluster.bury(1);
  cluster.fence(1);
  await settle();
  for (const { handle } of pages) {
    const user = pages[0]?.handle === handle ? { user: "bob" } : {};
    expect(resumedOf(await cluster.house(0).open({ ...user, session: handle.id }))).toBe(true);
  }
  hasNoBugs(cluster);
});
