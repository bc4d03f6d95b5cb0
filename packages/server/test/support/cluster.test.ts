import { describe, expect, test } from "bun:test";
import { nodeBusContract } from "../contracts/node-bus.ts";
import { buildCluster, TestBuses } from "./cluster.ts";
import { settle } from "./core.ts";
import { FakeClock } from "./fake-clock.ts";

nodeBusContract("buses of a test", (answerings) => {
  const clock = new FakeClock();
  const between = new TestBuses(answerings.length, clock);
  const buses = answerings.map((answering, at) => {
    const bus = between.at(at);
    bus.listen(answering);
    return bus;
  });
  return Promise.resolve({
    buses,
    async elapse(ms) {
      await settle();
      clock.advance(ms);
    },
    kill(at) {
      between.kill(at);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  });
});

describe("a cluster", () => {
  test("brings what is published in one process to those who follow in others, and to no others", async () => {
    const cluster = buildCluster(3);
    const [here, there, apart] = [cluster.house(0), cluster.house(1), cluster.house(2)];
    const bob = await there.open({ user: "bob" });
    await bob.say({ type: "subscribe", channel: "a", events: true });
    const eve = await apart.open({ user: "eve" });
    await eve.say({ type: "subscribe", channel: "b", presence: true });
    expect([0, 1, 2].map((at) => cluster.follows(at, "a"))).toEqual([false, true, false]);
    await here.publish("a", "hi");
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "message", channel: "a", offset: 1, data: "hi" });
    await eve.say({ type: "subscribe", channel: "a", presence: true });
    await settle();
    expect(bob.connection.frames().at(-1)).toMatchObject({ type: "join", member: { user: "eve" } });
    await bob.say({ type: "unsubscribe", channel: "a" });
    expect(cluster.follows(1, "a")).toBeFalse();
    await here.publish("a", "gone");
    expect(eve.connection.frames().at(-1)).toMatchObject({ type: "message", data: "gone" });
    expect(bob.connection.frames().some((frame) => frame.type === "message" && frame.data === "gone")).toBeFalse();
    expect(cluster.houses.flatMap(({ errors }) => errors)).toEqual([]);
  });

  test("a session ends with the mark of its process", async () => {
    const cluster = buildCluster(2);
    for (const house of cluster.houses) {
      const { handle } = await house.open();
      expect(handle.id.slice(20)).toBe(house.engine.bus.self);
    }
  });

  test("presence belongs to who has put it last, and ends with its process", async () => {
    const cluster = buildCluster(2);
    const { engine, houses } = cluster;
    const [a, b] = houses.map((house) => house.engine.presence);
    await a?.put("room", { session: "s1", user: "bob" });
    await b?.put("room", { session: "s1", user: "bob" });
    await a?.drop("room", "s1");
    expect(await engine.presence.count("room")).toEqual({ users: 1, sessions: 1 });
    cluster.kill(1);
    expect(await engine.presence.count("room")).toEqual({ users: 0, sessions: 0 });
  });
});
