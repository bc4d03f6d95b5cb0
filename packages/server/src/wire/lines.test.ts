import { expect, test } from "bun:test";
import { lineContent, lineLength, lineOf, utf8Text } from "./lines.ts";

const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");

test("[TC-2] the first line ends with the first `\\n`, and one `\\r` before it belongs to the end", () => {
  const vectors: [bytes: string, length: number, content: string][] = [
    ["a\nb\n", 2, "a"],
    ["a\r\n", 3, "a"],
    ["a\r\r\n", 4, "a\r"],
    ["\ra\n", 3, "\ra"],
    ["\n", 1, ""],
    ["\r\n", 2, ""],
    ["\n\r\n\n\ra\n", 4, ""],
    ["\n\r", 1, ""],
    ["\n".repeat(300), 255, ""],
    [`\n${"\r\n".repeat(300)}`, 255, ""],
    ["\r\n".repeat(300), 256, ""],
    ["a\rb\n", 4, "a\rb"],
    ["a", 0, ""],
    ["", 0, ""],
  ];
  for (const [bytes, length, content] of vectors) {
    expect([bytes, lineLength(bytesOf(bytes), 0)]).toEqual([bytes, length]);
    if (length > 0) expect(Buffer.from(lineContent(bytesOf(bytes.slice(0, length)))).toString("latin1")).toBe(content);
  }
});

test("what was looked at before is not looked at again", () => {
  expect(lineLength(bytesOf("a\nb\n"), 2)).toBe(4);
  expect(lineLength(bytesOf("a\nb"), 2)).toBe(0);
});

test("a line is made of text or of bytes", () => {
  expect(lineOf("grün")).toEqual(Buffer.from("grün\n"));
  expect(lineOf(Uint8Array.of(0, 255))).toEqual(Uint8Array.of(0, 255, 10));
});

test("bytes are text or they are not, and a byte order mark is text", () => {
  expect(utf8Text(Buffer.from("grün 🌍"))).toBe("grün 🌍");
  expect(utf8Text(Buffer.from("\uFEFFa"))).toBe("\uFEFFa");
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x8c], [0x80]]) {
    expect([bytes, utf8Text(Uint8Array.from(bytes))]).toEqual([bytes, undefined]);
  }
});
