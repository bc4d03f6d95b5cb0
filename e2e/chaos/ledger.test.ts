import { expect, test } from "bun:test";
import { Ledger } from "./ledger.ts";

const after = (...steps: readonly (number | "told")[]): Ledger => {
  const ledger = new Ledger();
  for (const step of steps) {
    if (step === "told") ledger.tell();
    else ledger.got(step);
  }
  return ledger;
};
const NOTHING = { missing: [], doubled: 0, disordered: 0, told: [] };

test("everything once and in order is nothing to report", () => {
  expect(after(1, 2, 3).account(3)).toEqual({ last: 3, ...NOTHING });
});

test("what is missing in between and at the end is told apart from what was told", () => {
  expect(after(1, 4, "told", 6).account(8).missing).toEqual([
    { from: 2, to: 3, isTold: false },
    { from: 5, to: 5, isTold: true },
    { from: 7, to: 8, isTold: false },
  ]);
  expect(after(1, "told").account(3)).toMatchObject({ missing: [{ from: 2, to: 3, isTold: true }], told: [1] });
});

test("a publication that comes late is out of order, and no longer missing", () => {
  expect(after(1, 4, 3).account(4)).toMatchObject({ disordered: 1, missing: [{ from: 2, to: 2, isTold: false }] });
  expect(after(1, 4, 2, 3).account(4)).toMatchObject({ disordered: 2, missing: [], doubled: 0 });
});

test("a publication that comes again is doubled, but for one that is stored anew after a loss that was told", () => {
  expect(after(1, 2, 2).account(2).doubled).toBe(1);
  expect(after(1, 2, "told", 2, 3).account(3)).toEqual({ last: 3, ...NOTHING, told: [2] });
  expect(after(1, 2, "told", 3, 3).account(3).doubled).toBe(1);
});
