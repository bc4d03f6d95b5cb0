/** Sessions that go on in another process than the one that has them. */
import { describe, expect, spyOn, test } from "bun:test";
import type { Cluster } from "../../test/support/cluster.ts";
import { settle } from "../../test/support/core.ts";
import {
  arrive,
  clusterOf,
  endsOf,
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
import { BOUND_MS } from "./bound-state.ts";

describe("one that is connected to another process", () => {
  test("[NB-3] goes on with all it was given, and ends there as replaced; nobody else is asked", async () => {
    const cluster = clusterOf(3);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const first = await there.open({ user: "alice" });
    const { id } = first.handle;
    await there.control.bindUser(id, "bob");
    await there.control.subscribeSession(id, "vip");
    await there.control.putSessionData(id, { theme: "dark" });
    const again = await here.open({ user: "alice", session: id });
    expect(resumedOf(again)).toBe(true);
    expect(again.connection.frames()[0]).toMatchObject({ session: id, user: "bob" });
    expect(goodbyeOf(first)).toBe("replaced");
    expect((await cluster.house(2).control.session(id)).channels.toSorted()).toEqual(["@bob", "vip"]);
    expect(await cluster.house(2).control.sessionData(id)).toEqual({ theme: "dark" });
    expect((await there.control.user("bob")).sessions).toHaveLength(1);
    expect(namesAsked(cluster).slice(0, 2)).toEqual(["luggage 0 1", "yield 0 1"]);
    hasNoBugs(cluster);
  });

  test("[NB-3] one to which nothing was given goes on as well", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open();
    const again = await cluster.house(0).open({ session: first.handle.id });
    expect([resumedOf(again), goodbyeOf(first)]).toEqual([true, "replaced"]);
    expect(namesAsked(cluster)).toEqual(["luggage 0 1", "yield 0 1"]);
  });

  test("[NB-3] what it is given until the moment in which it moves goes with it", async () => {
    const cluster = clusterOf(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const first = await there.open({ user: "alice" });
    const { id } = first.handle;
    const again = arrive(here, id, { token: "alice" });
    await untilAsked(cluster, "yield");
    const changes = [there.control.bindUser(id, "bob"), there.control.putSessionData(id, { seen: true })];
    await Promise.all(changes);
    await settle();
    expect(again.connection.frames()[0]).toMatchObject({ resumed: true, user: "bob" });
    expect(await here.control.sessionData(id)).toEqual({ seen: true });
    expect((await here.control.user("bob")).sessions).toHaveLength(1);
    expect((await here.control.user("alice")).online).toBe(false);
    hasNoBugs(cluster);
  });

  test("[NB-3] what is asked of it while it moves is done when it has arrived", async () => {
    for (const at of [0, 2]) {
      const cluster = clusterOf(3);
      const first = await cluster.house(1).open();
      const { id } = first.handle;
      await cluster.house(1).control.putSessionData(id, { a: 1 });
      arrive(cluster.house(0), id);
      await untilAsked(cluster, "yield");
      if (at === 2) {
        // Its maker has let go of it, and the one who has it now does not know what it has.
        await new Promise<void>((resolve) => setImmediate(resolve));
        expect(goodbyeOf(first)).toBe("replaced");
      }
      await cluster.house(at).control.patchSessionData(id, { b: 2 });
      await settle();
      expect([at, await cluster.house(0).control.sessionData(id)]).toEqual([at, { a: 1, b: 2 }]);
      hasNoBugs(cluster);
    }
  });

  test("[CO-12] [NB-3] stays where it is when somebody else brings its id", async () => {
    for (const isGiven of [true, false]) {
      const cluster = clusterOf(2);
      const first = await cluster.house(1).open({ user: "bob" });
      const { id } = first.handle;
      if (isGiven) await cluster.house(1).control.putSessionData(id, { theme: "dark" });
      const come = async (): Promise<void> => {
        for (const user of [undefined, "eve"]) {
          const other = await cluster.house(0).open({ session: id, ...(user !== undefined && { user }) });
          expect(resumedOf(other)).toBe(false);
          expect(other.handle.id).not.toBe(id);
        }
      };
      await come();
      expect(goodbyeOf(first)).toBeUndefined();
      await first.drop();
      await come();
      expect(resumedOf(await cluster.house(0).open({ session: id, user: "bob" }))).toBe(true);
    }
  });

  test("[BY-9] is kicked while it moves: it goes on nowhere", async () => {
    for (const question of ["luggage", "yield"]) {
      const cluster = clusterOf(2);
      const [here, there] = [cluster.house(0), cluster.house(1)];
      const first = await there.open({ user: "alice" });
      const { id } = first.handle;
      await there.control.bindUser(id, "bob");
      const again = arrive(here, id, { token: "alice" });
      await untilAsked(cluster, question);
      await there.control.disconnectSession(id, { reconnect: false });
      await settle();
      expect(goodbyeOf(first)).toBe("kicked");
      expect(again.connection.frames()[0]).toMatchObject({ resumed: false, user: "alice" });
      expect(again.handle.id).not.toBe(id);
      expect((await here.control.sessions({ limit: 10 })).sessions).toMatchObject([{ user: "alice" }]);
      expect((await here.control.user("bob")).online).toBe(false);
      expect(await cluster.engine.state.get(`session/${id}`)).toBeUndefined();
      const late = await here.open({ user: "alice", session: id });
      expect(resumedOf(late)).toBe(false);
      hasNoBugs(cluster);
    }
  });

  test("[OW-8] is kicked while it moves, and its client leaves: nothing of either stays", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open();
    const { id } = first.handle;
    const again = arrive(cluster.house(0), id);
    await untilAsked(cluster, "yield");
    await cluster.house(1).control.disconnectSession(id, { reconnect: false });
    await again.drop();
    expect((await cluster.house(1).control.sessions({ limit: 10 })).sessions).toEqual([]);
    expect(resumedOf(await cluster.house(1).open({ session: id }))).toBe(false);
    hasNoBugs(cluster);
  });

  test("[NB-4] a user who is disconnected everywhere while the session moves is gone", async () => {
    for (const question of ["luggage", "yield"]) {
      const cluster = clusterOf(3);
      const first = await cluster.house(1).open({ user: "bob" });
      const again = arrive(cluster.house(0), first.handle.id, { token: "bob" });
      await untilAsked(cluster, question);
      await cluster.house(2).control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
      await settle();
      expect(goodbyeOf(first)).toBeDefined();
      expect([question, goodbyeOf(again)]).not.toEqual([question, undefined]);
      // Nothing follows its goodbye.
      expect(again.connection.frames().at(-1)?.type).toBe("disconnect");
      expect((await cluster.house(2).control.user("bob")).online).toBe(false);
      hasNoBugs(cluster);
    }
  });

  test("[CO-24] a session that is bound to a revoked user while it moves is nobody's", async () => {
    const cluster = clusterOf(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const first = await there.open({ user: "alice" });
    const { id } = first.handle;
    await here.control.disconnectUser("bob", { reconnect: false, revokeMs: 60_000 });
    const again = arrive(here, id, { token: "alice" });
    await untilAsked(cluster, "yield");
    void there.control.bindUser(id, "bob");
    await settle();
    expect(again.connection.frames()[0]).toMatchObject({ resumed: false, user: "alice" });
    expect((await here.control.user("bob")).online).toBe(false);
  });

  test("[CO-13] is asked for by two processes at once: one has it in the end", async () => {
    const cluster = clusterOf(3);
    const first = await cluster.house(0).open();
    const { id } = first.handle;
    await cluster.house(0).control.putSessionData(id, { theme: "dark" });
    const takers = [1, 2].map((at) => arrive(cluster.house(at), id));
    await settle();
    expect(goodbyeOf(first)).toBe("replaced");
    expect(endsOf(takers)).toEqual(["replaced", "stays"]);
    expect(await cluster.house(0).control.sessionData(id)).toEqual({ theme: "dark" });
    await pass(cluster, 20_000);
    expect(endsOf(takers)).toEqual(["replaced", "stays"]);
    hasNoBugs(cluster);
  });

  test("[CO-13] is asked for by a third process before it has arrived: what it was given goes along", async () => {
    const cluster = clusterOf(3);
    const [maker, second, third] = [cluster.house(0), cluster.house(1), cluster.house(2)];
    const first = await maker.open({ user: "alice" });
    const { id } = first.handle;
    // Whether its new user is revoked is answered late.
    const { state } = second.engine;
    const get = state.get.bind(state);
    const gate = Promise.withResolvers<void>();
    spyOn(state, "get").mockImplementation(async (key) => {
      if (key === "revoked/bob") await gate.promise;
      return await get(key);
    });
    const again = arrive(second, id, { token: "alice" });
    await untilAsked(cluster, "yield");
    void maker.control.bindUser(id, "bob");
    await settle();
    const last = arrive(third, id, { token: "alice" });
    await settle();
    gate.resolve();
    await settle();
    expect([goodbyeOf(first), goodbyeOf(again), goodbyeOf(last)]).toEqual(["replaced", "replaced", undefined]);
    expect(last.connection.frames()[0]).toMatchObject({ resumed: true, user: "bob" });
    hasNoBugs(cluster);
  });

  test("[NB-2] has gone on elsewhere, and the store does not say so yet: who let it go remembers", async () => {
    const cluster = clusterOf(3);
    const [maker, second, third] = [cluster.house(0), cluster.house(1), cluster.house(2)];
    const first = await maker.open();
    const { id } = first.handle;
    const set = spyOn(second.engine.state, "set").mockResolvedValue();
    let page = await second.open({ session: id });
    for (const house of [maker, second, third]) {
      const before = page;
      page = await house.open({ session: id });
      expect([resumedOf(page), goodbyeOf(before)]).toEqual([true, "replaced"]);
    }
    set.mockRestore();
  });

  test("[NB-3] its process falls silent when it is to let go: it does as soon as it is heard again", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open();
    const again = arrive(cluster.house(0), first.handle.id);
    await untilAsked(cluster, "yield");
    cluster.cut(1);
    await settle();
    expect(again.connection.frames()).toEqual([]);
    cluster.clock.advance(ASK_MS);
    await settle();
    expect([resumedOf(again), goodbyeOf(first)]).toEqual([true, undefined]);
    await pass(cluster, 20_000);
    cluster.heal(1);
    await pass(cluster, 10_000);
    expect([goodbyeOf(again), goodbyeOf(first)]).toEqual([undefined, "replaced"]);
    hasNoBugs(cluster);
  });

  test("[NB-2] goes from process to process and is found wherever it is", async () => {
    const cluster = clusterOf(3);
    let page = await cluster.house(0).open();
    const { id } = page.handle;
    for (const at of [1, 2, 0, 1, 0, 2, 1]) {
      const before = page;
      page = await cluster.house(at).open({ session: id });
      expect([at, resumedOf(page), goodbyeOf(before)]).toEqual([at, true, "replaced"]);
    }
    // Days later as well, whoever has died since.
    await pass(cluster, 3 * 86_400_000, 600_000);
    expect(goodbyeOf(page)).toBeUndefined();
    cluster.kill(0);
    const last = await cluster.house(2).open({ session: id });
    expect([resumedOf(last), goodbyeOf(page)]).toEqual([true, "replaced"]);
    hasNoBugs(cluster);
  });

  test("[NB-2] that has gone on elsewhere is found by its maker's word and the store's, without asking everybody or waiting for the dead", async () => {
    const cluster = clusterOf(4);
    const first = await cluster.house(1).open();
    const { id } = first.handle;
    await cluster.house(2).open({ session: id });
    await cluster.house(0).control.putSessionData(id, { a: 1 });
    expect(namesAsked(cluster).slice(2)).toEqual(["ofSession 0 1", "ofSession 0 2"]);
    cluster.cut(1);
    // Somebody else has waited for it in vain.
    const other = arrive(cluster.house(0), `${"a".repeat(20)}${id.slice(20)}`);
    await settle();
    cluster.clock.advance(ASK_MS);
    await settle();
    expect(resumedOf(other)).toBe(false);
    expect(await cluster.house(0).control.sessionData(id)).toEqual({ a: 1 });
    expect(namesAsked(cluster).at(-1)).toBe("ofSession 0 2");
  });

  test("[NB-3] its client leaves before it is here: it can be resumed all the same, as it was last", async () => {
    const cluster = clusterOf(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const first = await there.open();
    const { id } = first.handle;
    const again = arrive(here, id);
    await untilAsked(cluster, "yield");
    void there.control.putSessionData(id, { seen: true });
    await again.drop();
    const back = await there.open({ session: id });
    expect(resumedOf(back)).toBe(true);
    expect(await there.control.sessionData(id)).toEqual({ seen: true });
    hasNoBugs(cluster);
  });

  // An event stream that is opened again, a poll behind the last one: the old connection ends while the new one asks.
  test("[NB-3] its client leaves it there while it is asked about here: it goes on out of the store", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open({ user: "alice" });
    const again = arrive(cluster.house(0), first.handle.id, { token: "alice" });
    const foreign = arrive(cluster.house(0), first.handle.id, { token: "mallory" });
    await untilAsked(cluster, "luggage");
    await first.drop();
    await settle();
    expect([again, foreign].map(resumedOf)).toEqual([true, false]);
    hasNoBugs(cluster);
  });

  test("[PR-5] [NB-3] who goes on elsewhere neither leaves nor joins", async () => {
    const cluster = clusterOf(2);
    const watcher = await cluster.house(1).open();
    await watcher.say({ type: "subscribe", channel: "room", events: true });
    const first = await cluster.house(1).open({ user: "bob" });
    await first.say({ type: "subscribe", channel: "room", presence: true });
    const again = await cluster.house(0).open({ user: "bob", session: first.handle.id });
    await again.say({ type: "subscribe", channel: "room", presence: true });
    await pass(cluster, 20_000);
    const seen = watcher.connection.frames().map(({ type }) => type);
    expect(seen.filter((type) => type === "join" || type === "leave")).toEqual(["join"]);
  });
});

describe("one that was lost", () => {
  test("[NB-3] goes on in another process out of the store, and for no longer than the resume time", async () => {
    for (const [afterMs, resumed] of [
      [RESUME_MS - 1, true],
      [RESUME_MS, false],
    ] as const) {
      const cluster = clusterOf(2);
      const first = await cluster.house(1).open();
      await first.drop();
      cluster.clock.advance(afterMs);
      expect(resumedOf(await cluster.house(0).open({ session: first.handle.id }))).toBe(resumed);
    }
  });

  test("[NB-3] the clients of a dead process come back without a question to anybody", async () => {
    const cluster = clusterOf(3);
    const ids: string[] = [];
    for (let n = 0; n < 20; n++) {
      const { handle } = await cluster.house(2).open({ user: `u${n}` });
      await cluster.house(2).control.putSessionData(handle.id, { n });
      ids.push(handle.id);
    }
    cluster.kill(2);
    const asked = cluster.asked.length;
    const pages = ids.map((id, n) => arrive(cluster.house(n % 2), id, { token: `u${n}` }));
    await settle();
    await pass(cluster, 10_000);
    expect(pages.map(resumedOf)).toEqual(ids.map(() => true));
    expect(pages.map(goodbyeOf)).toEqual(ids.map(() => undefined));
    expect(cluster.asked.length).toBe(asked);
    expect(await cluster.house(0).control.sessionData(ids[7] as string)).toEqual({ n: 7 });
  });

  test("[CO-13] two processes find the same one in the store in the same moment: one has it in the end", async () => {
    for (const isGiven of [true, false]) {
      const cluster = clusterOf(3);
      const first = await cluster.house(2).open();
      const { id } = first.handle;
      if (isGiven) await cluster.house(2).control.putSessionData(id, { theme: "dark" });
      await first.drop();
      cluster.kill(2);
      const takers = [0, 1].map((at) => arrive(cluster.house(at), id));
      await settle();
      expect(takers.map(resumedOf)).toEqual([true, true]);
      await pass(cluster, 10_000);
      expect(endsOf(takers)).toEqual(["replaced", "stays"]);
      hasNoBugs(cluster);
    }
  });

  test("[CO-13] the one that had it, and another process, take it up in the same moment: one has it in the end", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open();
    await first.drop();
    const takers = [0, 1].map((at) => arrive(cluster.house(at), first.handle.id));
    await settle();
    await pass(cluster, 10_000);
    expect(endsOf(takers)).toEqual(["replaced", "stays"]);
  });

  test("[NB-3] a record that comes late takes the session from nobody", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open();
    const { id } = first.handle;
    await cluster.house(1).control.putSessionData(id, { a: 1 });
    const record = (await cluster.engine.state.get(`session/${id}`)) ?? "";
    const again = await cluster.house(0).open({ session: id });
    await cluster.engine.state.set(`session/${id}`, record, RESUME_MS);
    await pass(cluster, 10_000);
    expect(goodbyeOf(again)).toBeUndefined();
    expect(await cluster.engine.state.get(`session/${id}`)).not.toBe(record);
  });

  test("[NB-3] where the process that has it does not answer, the store is believed, and the session is one again when it does", async () => {
    const cluster = clusterOf(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const first = await there.open();
    const { id } = first.handle;
    await there.control.putSessionData(id, { theme: "dark" });
    cluster.cut(1);
    const again = arrive(here, id);
    await settle();
    cluster.clock.advance(ASK_MS);
    await settle();
    expect(resumedOf(again)).toBe(true);
    await pass(cluster, 20_000);
    expect([goodbyeOf(first), goodbyeOf(again)]).toEqual([undefined, undefined]);
    cluster.heal(1);
    await pass(cluster, 10_000);
    expect([goodbyeOf(first), goodbyeOf(again)]).toEqual(["replaced", undefined]);
    hasNoBugs(cluster);
  });

  test("[CO-12] where nobody who has it answers, the client gets a new session in time", async () => {
    const cluster = clusterOf(2);
    const first = await cluster.house(1).open();
    cluster.cut(1);
    const again = arrive(cluster.house(0), first.handle.id);
    await settle();
    cluster.clock.advance(ASK_MS);
    await settle();
    expect(resumedOf(again)).toBe(false);
  });

  test("[NB-3] of the clients of a silent process not each waits in vain, and it is asked again when it is heard", async () => {
    const cluster = clusterOf(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const ids: string[] = [];
    for (let n = 0; n < 50; n++) ids.push((await there.open()).handle.id);
    const come = async (): Promise<unknown> => {
      const page = arrive(here, ids.pop() as string);
      await settle();
      return resumedOf(page);
    };
    cluster.cut(1);
    // The first of them waits.
    expect(await come()).toBeUndefined();
    await pass(cluster, ASK_MS);
    const asked = cluster.asked.length;
    for (let n = 0; n < 20; n++) {
      expect(await come()).toBe(false);
      await pass(cluster, 500, 500);
    }
    expect(cluster.asked.length - asked).toBeLessThanOrEqual(10_000 / ASK_MS + 1);
    cluster.heal(1);
    await pass(cluster, ASK_MS);
    await come();
    expect(await come()).toBe(true);
    // It may have been silent long ago, and nobody has asked since.
    cluster.cut(1);
    expect(await come()).toBeUndefined();
    await pass(cluster, ASK_MS);
    cluster.heal(1);
    await pass(cluster, 5000);
    expect(await come()).toBe(true);
    hasNoBugs(cluster);
  });

  test("[CO-12] an id that nobody made asks nobody", async () => {
    const cluster = clusterOf(2);
    for (const id of ["x", "a".repeat(26), "../..", "__proto__"])
      expect(resumedOf(await cluster.house(0).open({ session: id }))).toBe(false);
    expect(cluster.asked).toEqual([]);
  });

  test("[CO-11] where sessions are not resumed, none is asked for", async () => {
    const cluster = clusterOf(2, 0);
    const first = await cluster.house(1).open();
    const again = await cluster.house(0).open({ session: first.handle.id });
    expect([resumedOf(again), goodbyeOf(first), cluster.asked.length]).toEqual([false, undefined, 0]);
  });
});

/** Resolves to how often the store was written to. */
async function polls(cluster: Cluster, count: number, next: (n: number) => number): Promise<number> {
  const first = await cluster.house(0).open();
  await first.drop();
  const sets = cluster.houses.map(({ engine }) => spyOn(engine.state, "set"));
  for (let n = 0; n < count; n++) {
    await pass(cluster, 1000);
    const page = await cluster.house(next(n)).open({ session: first.handle.id });
    expect([n, resumedOf(page)]).toEqual([n, true]);
    await pass(cluster, 20_000);
    expect(goodbyeOf(page)).toBeUndefined();
    await page.drop();
  }
  return sets.reduce((sum, set) => sum + set.mock.calls.length, 0);
}

describe("a client that polls", () => {
  test("[OW-5] goes from process to process, and the store is written to once for each that is another one", async () => {
    expect(await polls(clusterOf(2), 20, (n) => (n + 1) % 2)).toBeLessThanOrEqual(20);
  });

  test("[OW-5] stays with one process, whoever made its session, and the store is written to once in a while", async () => {
    const cluster = clusterOf(2);
    expect(await polls(cluster, 20, () => 1)).toBeLessThanOrEqual(1 + Math.ceil((20 * 21_000) / (RESUME_MS / 2)));
    // When it came here first, and a little later, lest somebody had taken it up there in that moment.
    expect(namesAsked(cluster)).toEqual(["luggage 1 0", "yield 1 0"]);
  });
});

describe("commands by POST", () => {
  test("[SD-3] [NB-3] speak for a session that is connected to another process, which goes on there", async () => {
    const cluster = clusterOf(2);
    const [here, there] = [cluster.house(0), cluster.house(1)];
    const page = await there.open({ user: "alice" });
    const { id } = page.handle;
    await page.say({ type: "subscribe", channel: "a", echo: false });
    const watcher = await here.open();
    await watcher.say({ type: "subscribe", channel: "a" });
    const send = arrive(here, id, { token: "alice", fleeting: true });
    await send.say({ type: "publish", channel: "a", data: 1 });
    expect(watcher.connection.frames().at(-1)).toMatchObject({ type: "message", user: "alice", data: 1 });
    // It is its own publication.
    expect(page.connection.frames().map(({ type }) => type)).not.toContain("message");
    expect(goodbyeOf(page)).toBeUndefined();
    expect(namesAsked(cluster)).toEqual(["luggage 0 1"]);
  });

  test("[NB-3] have the user that the application has bound to it, and what stands in the store is not asked for", async () => {
    const cluster = clusterOf(2);
    const page = await cluster.house(1).open();
    await cluster.house(1).control.bindUser(page.handle.id, "bob");
    const watcher = await cluster.house(0).open();
    await watcher.say({ type: "subscribe", channel: "a" });
    const send = arrive(cluster.house(0), page.handle.id, { fleeting: true });
    await send.say({ type: "publish", channel: "a", data: 1 });
    expect(watcher.connection.frames().at(-1)).toMatchObject({ type: "message", user: "bob" });
    expect(cluster.asked).toEqual([]);
  });
});

describe("state keys of a session", () => {
  test("[NB-8] are set through any process, go with it to another one, and go with its end", async () => {
    const cluster = clusterOf(3);
    const first = await cluster.house(0).open();
    const { id } = first.handle;
    for (const [at, count] of [
      [0, 1],
      [1, 2],
      [2, 3],
    ] as const)
      expect(await cluster.house(at).control.addSessionState(id, "count", 1)).toBe(count);
    await cluster.house(1).open({ session: id });
    await cluster.house(2).control.setSessionState(id, "mood", "good");
    await pass(cluster, 3 * BOUND_MS, 60_000);
    expect([await stateOf(cluster, "count"), await stateOf(cluster, "mood")]).toEqual([3, "good"]);
    await cluster.house(0).control.disconnectSession(id, { reconnect: false });
    expect([await stateOf(cluster, "count"), await stateOf(cluster, "mood")]).toEqual([undefined, undefined]);
  });

  test("[NB-8] go on with a session whose process has died, or end with it", async () => {
    for (const comesBack of [true, false]) {
      const cluster = clusterOf(2);
      const first = await cluster.house(0).open();
      const { id } = first.handle;
      await cluster.house(0).control.addSessionState(id, "count", 1);
      await pass(cluster, 2 * BOUND_MS, 60_000);
      cluster.kill(0);
      cluster.house(0).stop();
      await pass(cluster, 60_000);
      if (comesBack) expect(resumedOf(await cluster.house(1).open({ session: id }))).toBe(true);
      await pass(cluster, BOUND_MS, 60_000);
      expect([comesBack, await stateOf(cluster, "count")]).toEqual([comesBack, comesBack ? 1 : undefined]);
    }
  });
});
