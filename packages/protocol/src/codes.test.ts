import { describe, expect, test } from "bun:test";
import { readVectors } from "../test/vectors.ts";
import { DISCONNECTS, ERRORS, type Remedy, remedyOf } from "./codes.ts";

interface Row {
  readonly name: string;
  readonly code: number;
  readonly remedy: Remedy;
}

const codes = readVectors("codes.json") as {
  readonly errors: readonly (Row & { status: number })[];
  readonly goodbyes: readonly Row[];
  readonly network: readonly Omit<Row, "name">[];
};

describe("codes", () => {
  test("[BY-4] errors keep their name, code and HTTP status", () => {
    const rows: unknown = Object.entries(ERRORS).map(([name, { code, status }]) => ({ name, code, status }));
    expect(rows).toEqual(codes.errors.map(({ name, code, status }) => ({ name, code, status })));
  });

  test("[BY-4] goodbyes keep their name and code", () => {
    const rows: unknown = Object.entries(DISCONNECTS).map(([name, { code }]) => ({ name, code }));
    expect(rows).toEqual(codes.goodbyes.map(({ name, code }) => ({ name, code })));
  });

  test("[BY-2] the number alone tells what to do", () => {
    for (const { code, remedy } of [...codes.errors, ...codes.goodbyes, ...codes.network]) {
      expect([code, remedyOf(code)]).toEqual([code, remedy]);
    }
  });

  test("[BY-4] no code stands twice, and each is in a range that means something", () => {
    const all = [...Object.values(ERRORS), ...Object.values(DISCONNECTS)].map(({ code }) => code);
    expect(new Set(all).size).toBe(all.length);
    for (const { code } of Object.values(ERRORS)) expect(code >= 100 && code < 400).toBe(true);
    for (const { code } of Object.values(DISCONNECTS)) expect(code >= 4100 && code < 4400).toBe(true);
  });

  test("[BY-1] a goodbye's text fits into a WebSocket close frame (123 bytes) with room for a detail", () => {
    for (const { text } of Object.values(DISCONNECTS)) expect(new TextEncoder().encode(text).length).toBeLessThan(80);
  });
});
