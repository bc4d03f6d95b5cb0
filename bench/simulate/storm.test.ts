import { describe, expect, test } from "bun:test";
import { backoffMs } from "../../packages/client/src/backoff.ts";
import { Chance } from "./chance.ts";
import { simulateStorm, STORM } from "./storm.ts";

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const times = <T>(of: () => T): T[] => Array.from({ length: 5000 }, of);

const SMALL = { ...STORM, clientsPerNode: 300 };

describe("chance", () => {
  test("events that come by themselves: their number and their gaps are right on average", () => {
    const chance = new Chance(3);
    expect(mean(times(() => chance.count(4)))).toBeWithin(3.8, 4.2);
    expect(mean(times(() => chance.count(1000)))).toBeWithin(990, 1010);
    expect(mean(times(() => chance.gapMs(100)))).toBeWithin(9.5, 10.5);
  });

  test("the same seed, the same run", () => {
    expect(simulateStorm(SMALL, 5)).toEqual(simulateStorm(SMALL, 5));
    expect(simulateStorm(SMALL, 5)).not.toEqual(simulateStorm(SMALL, 6));
  });
});

test("the backoff of the SDK: the first attempt within a second, each next within twice as long, at most 30 s", () => {
  const chance = new Chance(1);
  const { backoff } = STORM;
  const longest = [1, 2, 3, 5, 6, 9].map((attempt) => backoffMs({ backoff, jitter: "none", random: () => 1 }, attempt));
  expect(longest).toEqual([1000, 2000, 4000, 16_000, 30_000, 30_000]);
  const waits = Array.from({ length: 1000 }, () =>
    backoffMs({ backoff, jitter: "full", random: () => chance.share() }, 2),
  );
  expect(Math.max(...waits)).toBeWithin(1900, 2001);
  expect(Math.min(...waits)).toBeLessThan(100);
});

describe("a storm", () => {
  test("one of ten nodes dies: each of its clients comes back at its first attempt, within its backoff", () => {
    const figures = simulateStorm({ ...SMALL, nodes: 10 }, 1);
    expect(figures).toMatchObject({
      clients: 300,
      attempts: 300,
      turnedAway: 0,
      unanswered: 0,
      breaksFirst: "nothing",
    });
    expect(figures.allBackMs).toBeWithin(900, 1300);
    expect(figures.halfBackMs).toBeWithin(400, 700);
  });

  test("a node alone: who knocks before it is back waits for its next attempt", () => {
    const figures = simulateStorm({ ...SMALL, engine: "sqlite", restartMs: 1500 }, 1);
    expect(figures.attempts).toBeGreaterThan(2 * 300);
    expect(figures.redisPeakShare).toBe(0);
    expect(figures.allBackMs).toBeWithin(1500, 30_000);
  });

  test("a low handshakesPerSecond turns away, and all come in nevertheless", () => {
    const figures = simulateStorm({ ...SMALL, nodes: 2, handshakesPerSecond: 50 }, 1);
    expect(figures.turnedAway).toBeGreaterThan(0);
    expect(figures.allBackMs).toBeLessThan(60_000);
  });

  test("where all nodes die together, those that are alike stand for each other: Redis has the work of all", () => {
    const eight = simulateStorm({ ...SMALL, nodes: 8, died: "all" }, 1);
    const eighty = simulateStorm({ ...SMALL, nodes: 80, died: "all" }, 1);
    expect(eighty.clients).toBe(10 * eight.clients);
    expect(eighty.attempts).toBeWithin(9.9 * eight.attempts, 10.1 * eight.attempts);
    expect(eighty.redisPeakShare).toBeGreaterThan(eight.redisPeakShare);
  });

  test("masters of a Redis Cluster share the work", () => {
    const storm = { ...SMALL, nodes: 10, clientsPerNode: 10_000, channelsPerClient: 10 };
    const [one, eight] = [simulateStorm(storm, 1), simulateStorm({ ...storm, masters: 8 }, 1)];
    expect(one.redisPeakShare).toBe(1);
    expect(eight.redisPeakShare).toBeLessThan(0.9);
    expect(eight.allBackMs).toBeLessThan(one.allBackMs);
  });

  test("says what was full and for how long", () => {
    const figures = simulateStorm(
      { ...SMALL, nodes: 10, clientsPerNode: 20_000, missedPerChannel: 50, channelsPerClient: 10 },
      1,
    );
    expect(figures.breaksForSeconds).toBeGreaterThan(5);
    expect(figures.breaksFirst).toStartWith("Redis: full for ");
  });
});
