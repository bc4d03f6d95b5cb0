import { expect, test } from "bun:test";
import { Pauses } from "./pauses.ts";

test("[WK-3] the first is replaced at once, then after pauses that double up to 10 s; from the second one on nobody waits", () => {
  const pauses = new Pauses();
  const next = Array.from({ length: 10 }, () => pauses.next(50));
  expect(next.map(({ ms }) => ms)).toEqual([0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  expect(next.map(({ isLong }) => isLong)).toEqual([false, false, ...Array.from({ length: 8 }, () => true)]);
});

test("[WK-3] one that has lived for a while begins anew", () => {
  const pauses = new Pauses();
  expect(pauses.next(3_600_000)).toEqual({ ms: 0, isLong: false });
  for (let count = 0; count < 5; count++) pauses.next(9_999);
  expect(pauses.next(10_000)).toEqual({ ms: 0, isLong: false });
  expect(pauses.next(0)).toEqual({ ms: 0, isLong: false });
  expect(pauses.next(0)).toEqual({ ms: 100, isLong: false });
});
