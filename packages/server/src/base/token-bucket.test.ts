import { expect, test } from "bun:test";
import { TokenBucket, TokenBuckets } from "./token-bucket.ts";

test("a bucket gives its burst at once and then its rate, to the millisecond", () => {
  const bucket = new TokenBucket(10, 5);
  for (let count = 0; count < 5; count++) expect(bucket.take(1000)).toBe(0);
  expect(bucket.take(1000)).toBe(100);
  // One that was refused costs nothing.
  expect(bucket.take(1099)).toBe(1);
  expect(bucket.take(1100)).toBe(0);
  expect(bucket.take(1100)).toBe(100);
  // After a long rest there is the burst again, and no more.
  for (let count = 0; count < 5; count++) expect(bucket.take(9000)).toBe(0);
  expect(bucket.take(9000)).toBe(100);
});

test("what will be there soon can be reserved, within a bound", () => {
  const bucket = new TokenBucket(10, 1);
  expect(bucket.reserve(0, 200)).toBe(0);
  expect(bucket.reserve(0, 200)).toBe(100);
  expect(bucket.reserve(0, 200)).toBe(200);
  expect(bucket.reserve(0, 200)).toBeUndefined();
  expect(bucket.reserve(100, 200)).toBe(200);
});

test("buckets that are full again are forgotten", () => {
  const buckets = new TokenBuckets(10, 1);
  for (let key = 0; key < 1000; key++) expect(buckets.take(`a${key}`, 0)).toBe(0);
  expect(buckets.take("a0", 0)).toBe(100);
  expect(buckets.take("b", 60_000)).toBe(0);
  expect(buckets.size).toBe(1);
});
