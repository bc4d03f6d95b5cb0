import { expect, test } from "bun:test";
import { type Evidence, judge } from "./verdict.ts";

const QUIET = { last: 0, missing: [], doubled: 0, disordered: 0, told: [] };
const stored = (...numbers: number[]): { offset: number; number: number }[] =>
  numbers.map((number, at) => ({ offset: at + 1, number }));
const acknowledged = (...numbers: number[]): { epoch: string; offset: number; number: number }[] =>
  numbers.map((number) => ({ epoch: "e", offset: number, number }));

function evidence(changes: Partial<Evidence>): Evidence {
  return {
    accounts: [],
    acknowledged: new Map([["a", acknowledged(1, 2, 3)]]),
    repeated: new Set(),
    stored: new Map([["a", stored(1, 2, 3)]]),
    once: [],
    storedOnce: [],
    ...changes,
  };
}

const halfOf = (list: { offset: number; number: number }[]): number =>
  judge(evidence({ stored: new Map([["a", list]]) })).half;

const GOOD = {
  publications: 3,
  lost: 0,
  doubled: 0,
  disordered: 0,
  told: 0,
  toldInVain: 0,
  gone: 0,
  unseen: 0,
  half: 0,
};

test("nothing happened", () => {
  expect(judge(evidence({ accounts: [{ channel: "a", who: "bare", ...QUIET }] }))).toEqual(GOOD);
});

test("what is missing is lost while it is kept, and unseen once it is gone; not where it was told", () => {
  const missing = [{ from: 2, to: 3, isTold: false }];
  const account = { channel: "a", who: "bare", ...QUIET, missing };
  expect(judge(evidence({ accounts: [account] }))).toEqual({ ...GOOD, lost: 2 });
  const withLoss = evidence({ accounts: [account], stored: new Map([["a", stored(1, 2)]]) });
  expect(judge(withLoss)).toEqual({ ...GOOD, lost: 1, unseen: 1, gone: 1 });
  const told = { ...account, missing: [{ from: 2, to: 3, isTold: true }] };
  expect(judge(evidence({ accounts: [told] }))).toEqual(GOOD);
});

test("it is told in vain where what the client had is still kept, unless that was stored anew", () => {
  const accounts = [{ channel: "a", who: "bare", ...QUIET, doubled: 1, disordered: 2, told: [2] }];
  expect(judge(evidence({ accounts }))).toEqual({ ...GOOD, doubled: 1, disordered: 2, told: 1, toldInVain: 1 });
  expect(judge(evidence({ accounts, repeated: new Set(["a 2"]) })).toldInVain).toBe(0);
  expect(judge(evidence({ accounts, stored: new Map([["a", stored(3)]]) }))).toMatchObject({ told: 1, toldInVain: 0 });
});

test("half stored is a hole, a publication kept twice or in the wrong place", () => {
  expect(halfOf(stored(1, 2, 3))).toBe(0);
  expect(halfOf(stored(1, 2, 2))).toBe(1);
  expect(halfOf([...stored(1, 2), { offset: 4, number: 4 }])).toBe(1);
  expect(halfOf(stored(2, 1, 3))).toBe(3);
});

test("what is said once is gone if it was acknowledged, and half stored if it is there twice", () => {
  const once = ["acknowledged", "unavailable", "acknowledged"] as const;
  expect(judge(evidence({ once, storedOnce: stored(1, 3) }))).toEqual(GOOD);
  expect(judge(evidence({ once, storedOnce: stored(2, 1) })).gone).toBe(1);
  expect(judge(evidence({ once, storedOnce: stored(1, 3, 3) })).half).toBe(1);
});
