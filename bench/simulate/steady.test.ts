import { describe, expect, test } from "bun:test";
import { deliveryUs } from "./costs.ts";
import { loadOf, nodesWithSome, type Profile, PROFILES } from "./profiles.ts";
import { simulateSteady } from "./steady.ts";

const PROFILE: Profile = {
  name: "rooms",
  clientsPerNode: 1000,
  channelsPerClient: 2,
  subscribersPerChannel: 10,
  publicationsPerSecond: 0.1,
  dataBytes: 100,
  stayMinutes: 10,
};

test("the cost of a delivery is the measured one at measured rates, and between them in between", () => {
  expect([1, 20, 100, 1000, 5000].map(deliveryUs)).toEqual([7.3, 7.3, 5.9, 1, 1]);
  expect(deliveryUs(50)).toBeWithin(5.9, 7.3);
});

test("how many nodes follow a channel", () => {
  expect(nodesWithSome(10, 1)).toBe(1);
  expect(nodesWithSome(1, 100)).toBeCloseTo(1);
  expect(nodesWithSome(2, 2)).toBeCloseTo(1.5);
  expect(nodesWithSome(1_000_000, 10)).toBeCloseTo(10);
});

test("a load grows with its nodes, a channel for all only in its deliveries", () => {
  expect(loadOf(PROFILE, 4)).toMatchObject({ clients: 4000, publicationsPerSecond: 400, deliveriesPerSecond: 4000 });
  expect(loadOf(PROFILE, 1)).toMatchObject({ channelsPerNode: 200, followers: 1, deliveriesPerClient: 1 });
  const all = loadOf({ ...PROFILE, subscribersPerChannel: "all", channelsPerClient: 1 }, 4);
  expect(all).toMatchObject({ publicationsPerSecond: 0.1, deliveriesPerSecond: 400, channelsPerNode: 1 });
});

describe("everyday work", () => {
  test("what is fullest breaks first, and at the multiple that fills it", () => {
    const figures = simulateSteady(PROFILE, 1, 1);
    expect(figures.breaksFirst).toBe("a core of the nodes");
    expect(figures.breaksAt).toBeCloseTo(1 / figures.nodeShare);
    expect(figures.p99Ms).toBeGreaterThanOrEqual(figures.p50Ms);
  });

  test("with many nodes Redis is full first, and then waits grow without end", () => {
    const figures = simulateSteady(PROFILE, 2000, 1);
    expect(figures).toMatchObject({ breaksFirst: "Redis's core", p99Ms: Infinity });
    expect(figures.breaksAt).toBeLessThan(1);
  });

  test("masters of a Redis Cluster share what Redis does", () => {
    const [one, four] = [simulateSteady(PROFILE, 100, 1), simulateSteady(PROFILE, 100, 1, 4)];
    expect(four.redisShare).toBeCloseTo(one.redisShare / 4);
    expect(four.redisCommandsPerSecond).toBe(one.redisCommandsPerSecond);
  });

  test("messages of Redis are publications times the nodes that follow", () => {
    const { load, redisMessagesPerSecond } = simulateSteady(PROFILE, 10, 1);
    expect(redisMessagesPerSecond).toBeCloseTo(load.publicationsPerSecond * load.followers);
  });

  test.each(PROFILES)("$name: a node's core is not full on one node", (profile) => {
    expect(simulateSteady(profile, 1, 1).nodeShare).toBeLessThan(1);
  });
});
