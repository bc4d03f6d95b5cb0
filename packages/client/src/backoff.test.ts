import { expect, test } from "bun:test";
import { type Backoff, backoffMs } from "./backoff.ts";

const backoff: Backoff = { minMs: 1000, maxMs: 30_000, factor: 2 };

test("without jitter: 1 s doubling to 30 s", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 2000].map((attempt) =>
    backoffMs({ backoff, jitter: "none", random: () => 0 }, attempt),
  );
  expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("full jitter: anything between nothing and the backoff", () => {
  const waits = [0, 0.25, 0.999].map((random) => backoffMs({ backoff, jitter: "full", random: () => random }, 3));
  expect(waits).toEqual([0, 1000, 3996]);
});
