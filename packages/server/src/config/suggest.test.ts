import { expect, test } from "bun:test";
import { editDistance, nearestOf } from "./suggest.ts";

test("distance counts insertions, deletions, replacements and swaps of neighbours", () => {
  const cases: [string, string, number][] = [
    ["", "", 0],
    ["", "abc", 3],
    ["port", "port", 0],
    ["prot", "port", 1],
    ["pot", "port", 1],
    ["poort", "port", 1],
    ["kitten", "sitting", 3],
  ];
  for (const [from, to, distance] of cases) {
    expect([from, to, editDistance(from, to)]).toEqual([from, to, distance]);
    expect(editDistance(to, from)).toBe(distance);
  }
});

test("the nearest name is found whatever the habit of writing, and none where none is near", () => {
  const known = ["historySize", "historySeconds", "port"];
  expect(nearestOf("history_size", known)).toBe("historySize");
  expect(nearestOf("historySecs", known)).toBe("historySeconds");
  expect(nearestOf("ports", known)).toBe("port");
  expect(nearestOf("banana", known)).toBeUndefined();
  expect(nearestOf("x", [])).toBeUndefined();
});
