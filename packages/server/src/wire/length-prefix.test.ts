import { expect, test } from "bun:test";
import { prefixedLength, withoutPrefix, withPrefix } from "./length-prefix.ts";

test("[TC-1] four bytes, big-endian, that count themselves", () => {
  expect(withPrefix(Buffer.from("abc"))).toEqual(Uint8Array.of(0, 0, 0, 7, 97, 98, 99));
  expect(withPrefix(new Uint8Array(0))).toEqual(Uint8Array.of(0, 0, 0, 4));
  expect(withPrefix(new Uint8Array(70_000)).subarray(0, 4)).toEqual(Uint8Array.of(0, 1, 0x11, 0x74));
  expect(Buffer.from(withoutPrefix(Uint8Array.of(0, 0, 0, 6, 1, 2)))).toEqual(Buffer.of(1, 2));
});

test("a length is told as it stands, once it is there", () => {
  expect(prefixedLength(Uint8Array.of(0, 0, 1))).toBeUndefined();
  expect(prefixedLength(Uint8Array.of(0, 0, 0, 3, 9))).toBe(3);
  expect(prefixedLength(Uint8Array.of(255, 255, 255, 255))).toBe(4_294_967_295);
  // A view into something larger.
  expect(prefixedLength(Uint8Array.of(9, 9, 0, 0, 0, 5, 1).subarray(2))).toBe(5);
});
