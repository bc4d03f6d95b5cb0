import { describe, expect, test } from "bun:test";
import { seeded } from "../test/random.ts";
import { readVectors } from "../test/vectors.ts";
import { channelFault } from "./channel.ts";
import { CURSOR_BYTES_MAX, decodeCursor, encodeCursor } from "./cursor.ts";
import type { Position } from "./publication.ts";

const cursors = readVectors("cursors.json") as {
  readonly good: readonly { cursor: string; positions: readonly (Position & { channel: string })[] }[];
  readonly bad: readonly { note: string; cursor: string }[];
};

describe("cursors", () => {
  for (const { positions, cursor } of cursors.good) {
    const map = new Map(positions.map(({ channel, epoch, offset }) => [channel, { epoch, offset }]));

    test(`[CU-1] ${cursor.slice(0, 40)}`, () => {
      expect(encodeCursor(map)).toBe(cursor);
      expect([...(decodeCursor(cursor) ?? [])]).toEqual([...map]);
    });
  }

  for (const { note, cursor } of cursors.bad) {
    test(`[CU-4] no cursor: ${note}`, () => {
      expect(decodeCursor(cursor)).toBeUndefined();
    });
  }

  test("[CU-3] what does not fit is not written", () => {
    const positions = new Map<string, Position>();
    let last = encodeCursor(positions);
    for (let number = 0; last !== undefined; number++) {
      expect(last.length).toBeLessThanOrEqual(CURSOR_BYTES_MAX);
      if (number > 0) expect(decodeCursor(last)?.size).toBe(number);
      positions.set(`channel:${number}`, { epoch: "Ab_-12cd", offset: number });
      last = encodeCursor(positions);
    }
    expect(positions.size).toBeGreaterThan(50);
    expect(decodeCursor("A".repeat(CURSOR_BYTES_MAX + 4))).toBeUndefined();
  });

  test("[CU-2] any positions survive writing and reading", () => {
    seeded((random) => {
      for (let round = 0; round < 2000; round++) {
        const positions = new Map<string, Position>();
        for (let count = random.below(5) + 1; count > 0; count--) {
          const channel = `c${random.text(40)}`;
          if (channelFault(channel) !== undefined) continue;
          positions.set(channel, { epoch: random.pick(["e", "Ab_-12cd", "-"]), offset: random.integer() });
        }
        if (positions.size === 0) continue;
        const cursor = encodeCursor(positions);
        expect([...(decodeCursor(cursor ?? "") ?? [])]).toEqual([...positions]);
      }
    });
  });

  test("[CU-4] a changed cursor is read as good names and offsets or not at all", () => {
    seeded((random) => {
      const word = encodeCursor(new Map([["room:1", { epoch: "Ab_-12cd", offset: 41 }]])) ?? "";
      for (let round = 0; round < 5000; round++) {
        const at = random.below(word.length);
        const changed = word.slice(0, at) + random.pick(["", "A", "-", "_", "=", "é", "zz"]) + word.slice(at + 1);
        for (const [channel, { offset }] of decodeCursor(changed) ?? []) {
          expect(channelFault(channel)).toBeUndefined();
          expect(Number.isSafeInteger(offset) && offset >= 0).toBe(true);
        }
      }
    });
  });
});
