import { describe, expect, test } from "bun:test";
import { seeded } from "../test/random.ts";
import { canonical, readVectors } from "../test/vectors.ts";
import { encodeFrame, encodeHistory, encodeMessage, messagePrefix } from "./encode.ts";
import type { MessageFrame, ServerFrame } from "./messages.ts";

const { vectors } = readVectors("frames.json") as {
  vectors: readonly { note: string; frame: ServerFrame; text: string }[];
};

/** The frame by the way of a fan-out: `data` as text, the prefix made apart. */
function byFanout({ channel, data, ...rest }: MessageFrame): string {
  const prefix = channel === undefined ? '{"type":"message"' : messagePrefix(channel);
  return encodeMessage(prefix, { ...rest, data: JSON.stringify(data) });
}

describe("frames of the server", () => {
  for (const { note, frame, text } of vectors) {
    test(`[FR-1] ${note}`, () => {
      expect(encodeFrame(frame)).toBe(text);
      expect(canonical(JSON.parse(text))).toBe(canonical(frame));
    });

    if (frame.type === "history") {
      const { type: _, ...rest } = frame;
      test(`[HI-1] with data as text: ${note}`, () => {
        const publications = frame.publications.map((entry) => ({ ...entry, data: JSON.stringify(entry.data) }));
        expect(encodeHistory({ ...rest, publications })).toBe(text);
      });
    }

    if (frame.type === "message") {
      test(`[PU-2] by the way of a fan-out: ${note}`, () => {
        expect(canonical(JSON.parse(byFanout(frame)))).toBe(canonical(frame));
      });
    }
  }

  test("[FR-15] any data, name and user reach the subscriber as they were", () => {
    seeded((random) => {
      for (let round = 0; round < 3000; round++) {
        const frame: MessageFrame = {
          type: "message",
          ...(random.chance(80) && { channel: random.text(20, true) }),
          ...(random.chance(80) && { offset: random.integer() }),
          ...(random.chance(50) && { name: random.text(10, true) }),
          ...(random.chance(50) && { user: random.text(10, true) }),
          data: random.json(4),
        };
        const text = byFanout(frame);
        expect(canonical(JSON.parse(text))).toBe(canonical(JSON.parse(JSON.stringify(frame))));
        // Lines and event streams end a frame at a line break, and UTF-8 has no half surrogate pairs.
        expect(text).not.toMatch(/[\n\r]/);
        expect(text.isWellFormed()).toBe(true);
      }
    });
  });
});
