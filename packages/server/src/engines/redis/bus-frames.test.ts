import { describe, expect, test } from "bun:test";
import { cutFrame, type Frame, FrameParts } from "./bus-frames.ts";

const frame = (text: string, from = "abcdef", number = "1"): Frame => ({ kind: "q", from, number, text });

/** What is heard when all parts come. */
function heard(parts: FrameParts, messages: readonly string[]): Frame[] {
  return messages.map((message) => parts.take(message)).filter((whole) => whole !== undefined);
}

describe("frames of the bus", () => {
  test("a short text is one message, a long one several, and both are whole again", () => {
    const long = `${"x".repeat(300_000)}\n"line"`;
    expect(cutFrame(frame("{}\n 1"))).toHaveLength(1);
    expect(cutFrame(frame(long)).length).toBeGreaterThan(2);
    for (const text of ["", "{}\n 1", long]) {
      expect(heard(new FrameParts(), cutFrame(frame(text)))).toEqual([frame(text)]);
    }
  });

  test("pairs of surrogates are not torn apart", () => {
    for (const before of ["", "x"]) {
      const text = before + "😀".repeat(200_000);
      for (const message of cutFrame(frame(text))) expect(Buffer.from(message).toString()).toBe(message);
      expect(heard(new FrameParts(), cutFrame(frame(text)))).toEqual([frame(text)]);
    }
  });

  test("parts of several senders do not mix, and what lacks a part is nothing", () => {
    const parts = new FrameParts();
    const a = cutFrame(frame("a".repeat(300_000), "aaaaaa"));
    const b = cutFrame(frame("b".repeat(300_000), "bbbbbb"));
    const mixed = a.flatMap((message, at) => [message, b[at] ?? ""]);
    expect(heard(parts, mixed).map(({ from }) => from)).toEqual(["aaaaaa", "bbbbbb"]);
    expect(heard(parts, a.slice(1))).toEqual([]);
    expect(heard(parts, [...a.slice(0, 1), ...cutFrame(frame("short", "aaaaaa", "2"))])).toHaveLength(1);
    expect(heard(parts, [...a.slice(0, 1), ...cutFrame(frame("c".repeat(300_000), "aaaaaa", "3"))])).toHaveLength(1);
    expect(heard(parts, ["?", "z a 1 0 1\nx", "q a 1 1 2\nx"])).toEqual([]);
  });
});
