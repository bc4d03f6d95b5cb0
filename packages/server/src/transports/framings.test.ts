import { expect, test } from "bun:test";
import { FramingFault } from "../ports/framing.ts";
import { frameFraming, joined, jsonFraming, textFraming } from "./framings.ts";

const line = (...bytes: number[]): Uint8Array => Uint8Array.from([...bytes, 10]);

test("[TC-5] a line that is no UTF-8 is kept as bytes on json, for the protocol to answer, and ends text", () => {
  expect(jsonFraming.decode(line(0xff))).toEqual(Uint8Array.of(0xff));
  expect(() => textFraming.decode(line(0xff))).toThrow(FramingFault);
});

test("[TC-5] a NUL ends text", () => {
  expect(() => textFraming.decode(line(97, 0, 98))).toThrow("NUL");
});

test("[TC-3] empty lines say nothing", () => {
  for (const empty of [line(), line(13)]) {
    expect(jsonFraming.decode(empty)).toBeNull();
    expect(textFraming.decode(empty)).toBeNull();
  }
  expect(textFraming.decode(line(32))).toBe(" ");
});

test("[TC-3] text with line breaks is one line", () => {
  expect(String(textFraming.encode("a b"))).toBe("a b\n");
  expect(String(textFraming.encode("a\nb"))).toBe('"a\\nb"\n');
  expect(String(textFraming.encode("a\r"))).toBe('"a\\r"\n');
});

test("[BI-2] frame carries bytes, and text as its UTF-8", () => {
  expect(frameFraming.encode(Uint8Array.of(0, 255))).toEqual(Uint8Array.of(0, 0, 0, 6, 0, 255));
  expect(frameFraming.encode("é")).toEqual(Uint8Array.of(0, 0, 0, 6, 0xc3, 0xa9));
  expect(Buffer.from(frameFraming.decode(Uint8Array.of(0, 0, 0, 5, 0xff)) as Uint8Array)).toEqual(Buffer.of(0xff));
});

test("what a turn brought is one write", () => {
  expect(String(joined(jsonFraming)(["{}"]))).toBe("{}\n");
  expect(String(joined(jsonFraming)(["{}", "[]"]))).toBe("{}\n[]\n");
});
