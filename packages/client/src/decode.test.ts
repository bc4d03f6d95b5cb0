import { expect, test } from "bun:test";
import frames from "../../protocol/vectors/frames.json" with { type: "json" };
import { decodeFrame } from "./decode.ts";

test("every golden frame of the server is read as the frame it is", () => {
  for (const { note, text, frame } of frames.vectors) expect(decodeFrame(text), note).toEqual(frame as never);
});

test("what is no object with a type is no frame", () => {
  for (const text of ["", "<html>", "null", "1", '"connected"', "[]", "{}", '{"type":1}']) {
    expect(decodeFrame(text)).toBeUndefined();
  }
});
