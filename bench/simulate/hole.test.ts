import { expect, test } from "bun:test";
import { HOLE, noticedMs, simulateHole } from "./hole.ts";

const SMALL = { ...HOLE, nodes: 3, channelsPerNode: 100, publicationsPerSecond: 1 };

test("a node that was cut off reads what it missed of every channel once", () => {
  const figures = simulateHole(SMALL, 1);
  expect(figures.channels).toBe(100);
  expect(figures.reads).toBe(100);
  expect(figures.publications).toBeWithin(900, 1100);
  expect(figures.bytes).toBe(figures.publications * (HOLE.dataBytes + 90));
  expect(figures.told).toBe(0);
  expect(figures.breaksFirst).toBe("nothing");
  expect(simulateHole(SMALL, 1)).toEqual(figures);
});

test("more than a page is read page by page", () => {
  const figures = simulateHole({ ...SMALL, cutMs: 1_200_000, historySize: 5000 }, 1);
  expect(figures.reads).toBe(300);
});

test("what is no longer kept is not read: clients are told", () => {
  const figures = simulateHole({ ...SMALL, cutMs: 200_000 }, 1);
  expect(figures).toMatchObject({ told: 100, publications: 0 });
});

test("channels that missed nothing are read not at all", () => {
  expect(simulateHole({ ...SMALL, publicationsPerSecond: 1e-9 }, 1)).toMatchObject({ reads: 0, bytes: 0 });
});

test("many that were cut off together share Redis, and take longer for it", () => {
  const load = { ...HOLE, nodes: 40, publicationsPerSecond: 0.2 };
  const one = simulateHole(load, 1);
  const all = simulateHole({ ...load, cut: 40 }, 1);
  expect(all.reads).toBeWithin(35 * one.reads, 45 * one.reads);
  expect(all.allWholeMs).toBeGreaterThan(2 * one.allWholeMs);
  expect(all.breaksFirst).toBe("Redis");
});

test("a node tries again after pauses that double up to a second", () => {
  expect([50, 51, 150, 350, 750, 1550, 1551, 2550].map(noticedMs)).toEqual([0, 99, 0, 0, 0, 0, 999, 0]);
});
