/** What every PresenceStore promises (ports/presence.ts). Call it from a test file of the engine. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Engine } from "../../src/ports/engine.ts";
import { type OpenEngine, RecordingSink, settingsOf } from "../support/engine.ts";
import { FakeClock } from "../support/fake-clock.ts";

export function presenceContract(engineName: string, open: OpenEngine): void {
  describe(`presence contract: ${engineName}`, () => {
    let engine: Engine;
    let sink: RecordingSink;

    beforeEach(async () => {
      sink = new RecordingSink();
      engine = await open(settingsOf(), sink, new FakeClock());
      // Who subscribes is told.
      for (const channel of ["a", "b"]) await engine.broker.subscribe(channel);
    });

    afterEach(() => engine.close());

    /** What the sink was told since it was asked last: `+bob`, `-s1`. */
    function told(): string[] {
      return sink.events
        .splice(0)
        .map(({ type, member: { user, session } }) => `${type === "join" ? "+" : "-"}${user ?? session}`);
    }

    test("[EN-8] a user comes with the first session and goes with the last", async () => {
      const { presence } = engine;
      await presence.put("a", { session: "s1", user: "bob" });
      expect(told()).toEqual(["+bob"]);
      await presence.put("a", { session: "s2", user: "bob" });
      expect(told()).toEqual([]);
      await presence.put("b", { session: "s1", user: "bob" });
      expect(sink.events.splice(0)).toEqual([{ type: "join", channel: "b", member: { session: "s1", user: "bob" } }]);
      await presence.drop("a", "s1");
      expect(told()).toEqual([]);
      await presence.drop("a", "s2");
      expect(sink.events.splice(0)).toEqual([{ type: "leave", channel: "a", member: { session: "s2", user: "bob" } }]);
      expect(await presence.count("a")).toEqual({ users: 0, sessions: 0 });
      expect(await presence.count("b")).toEqual({ users: 1, sessions: 1 });
    });

    test("[EN-8] sessions without a user are people of their own, also one that is named like a user", async () => {
      const { presence } = engine;
      await presence.put("a", { session: "bob" });
      await presence.put("a", { session: "s1", user: "bob" });
      await presence.put("a", { session: "s2" });
      expect(told()).toEqual(["+bob", "+bob", "+s2"]);
      expect(await presence.count("a")).toEqual({ users: 3, sessions: 3 });
    });

    test("[EN-8] putting again replaces the entry, keeps its place, and nobody comes", async () => {
      const { presence } = engine;
      await presence.put("a", { session: "s1", user: "bob", data: 1 });
      await presence.put("a", { session: "s2", user: "eve" });
      told();
      await presence.put("a", { session: "s1", user: "bob", data: 2 });
      expect(told()).toEqual([]);
      expect(await presence.list("a", 10)).toEqual({
        members: [
          { session: "s1", user: "bob", data: 2 },
          { session: "s2", user: "eve" },
        ],
        users: 2,
        sessions: 2,
      });
      await presence.drop("a", "s1");
      expect(sink.events).toEqual([{ type: "leave", channel: "a", member: { session: "s1", user: "bob", data: 2 } }]);
    });

    test("[EN-8] an entry that changes hands counts for its new person alone", async () => {
      const { presence } = engine;
      await presence.put("a", { session: "s1" });
      await presence.put("a", { session: "s1", user: "bob" });
      expect(told().toSorted()).toEqual(["+bob", "+s1", "-s1"]);
      expect(await presence.count("a")).toEqual({ users: 1, sessions: 1 });
    });

    test("the list is cut at the asked number, the counts are not", async () => {
      const { presence } = engine;
      for (const session of ["s1", "s2", "s3"]) await presence.put("a", { session });
      const list = await presence.list("a", 2);
      expect(list.members.map(({ session }) => session)).toEqual(["s1", "s2"]);
      expect(list.sessions).toBe(3);
      expect(await presence.list("nobody", 2)).toEqual({ members: [], users: 0, sessions: 0 });
    });

    test("dropping who is not there is nothing", async () => {
      await engine.presence.drop("a", "s1");
      expect(told()).toEqual([]);
      await engine.presence.put("a", { session: "s1" });
      await engine.presence.drop("a", "s2");
      expect(told()).toEqual(["+s1"]);
      expect(await engine.presence.count("a")).toEqual({ users: 1, sessions: 1 });
    });
  });
}
