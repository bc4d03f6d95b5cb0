import { expect, test } from "bun:test";
import { DeadRows } from "./dead-rows.ts";

test("rows are taken in portions, as runs of neighbours, and stay until they are deleted", () => {
  const dead = new DeadRows();
  for (const row of [7, 3, 1, 2, 9, 8]) dead.add(row);
  const runs: number[][] = [];
  const note = (first: number, last: number) => runs.push([first, last]);
  dead.take(4, note);
  expect(runs).toEqual([
    [1, 3],
    [7, 7],
  ]);
  expect(dead.count).toBe(6);
  // The transaction failed: the same again.
  dead.take(4, note);
  expect(runs.slice(2)).toEqual(runs.slice(0, 2));
  dead.deleted();
  expect(dead.count).toBe(2);
  dead.add(10);
  runs.length = 0;
  dead.take(100, note);
  expect(runs).toEqual([[8, 10]]);
  dead.deleted();
  expect(dead.count).toBe(0);
});
