import { expect, test } from "bun:test";
import { Random } from "@longwire/protocol/test/random";
import { Agenda } from "./agenda.ts";

test("what is due first happens first, and what is due together in the order of its noting", () => {
  const agenda = new Agenda();
  const found: string[] = [];
  for (const [atMs, name] of [
    [5, "c"],
    [1, "a"],
    [5, "d"],
    [2, "b"],
  ] as const)
    agenda.at(atMs, () => found.push(name));
  agenda.run();
  expect(found).toEqual(["a", "b", "c", "d"]);
  expect(agenda.nowMs).toBe(5);
  expect(agenda.isEmpty).toBe(true);
});

test("thousands of moments in any order come sorted, also those that are noted meanwhile", () => {
  const agenda = new Agenda();
  const random = new Random(7);
  const found: number[] = [];
  for (let count = 0; count < 2000; count++) {
    agenda.at(random.below(1000), () => {
      found.push(agenda.nowMs);
      if (random.chance(50)) agenda.after(random.below(1000), () => found.push(agenda.nowMs));
    });
  }
  agenda.run();
  expect(found.length).toBeGreaterThan(2500);
  expect(found).toEqual(found.toSorted((a, b) => a - b));
});

test("a run until a time leaves what comes later, and the past takes no notes", () => {
  const agenda = new Agenda();
  const found: number[] = [];
  for (const atMs of [1, 10, 11]) agenda.at(atMs, () => found.push(atMs));
  agenda.run(10);
  expect(found).toEqual([1, 10]);
  expect(agenda.nowMs).toBe(10);
  expect(() => agenda.at(9, () => undefined)).toThrow("9 ms is no time after 10 ms");
});
