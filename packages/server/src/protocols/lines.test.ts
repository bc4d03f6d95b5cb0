import { expect, test } from "bun:test";
import type { Publication } from "../ports/broker.ts";
import { dataProtocol } from "./bare.ts";
import { lineProtocol } from "./lines.ts";

const protocol = lineProtocol(dataProtocol(16));
const frame = protocol.framer("a");
const ANYTHING = { offset: 1, time: 0, name: undefined, user: undefined, session: undefined, exclude: undefined };

function lineFor(data: unknown, encoding?: "base64"): string {
  const publication: Publication = { ...ANYTHING, data: JSON.stringify(data), encoding };
  return String(frame(publication, "e"));
}

test("[HS-3] what holds no line break comes out bare", () => {
  expect(lineFor("hello")).toBe("hello");
  expect(lineFor("")).toBe("");
  expect(lineFor({ a: [1, null, "x\ny"] })).toBe('{"a":[1,null,"x\\ny"]}');
  // A line separator is no end of a line to anybody who splits at `\n`.
  expect(lineFor("\u2028\u0085\0")).toBe("\u2028\u0085\0");
  expect(lineFor("AP8=", "base64")).toBe("AP8=");
});

test("[HS-3] line breaks within go out as JSON text of the string: a publication is always one line", () => {
  for (const data of ["\n", "\r", "a\r\nb", "a\n\n", '"quoted"\nand more', "\\n\n"]) {
    const line = lineFor(data);
    expect(line).not.toMatch(/[\r\n]/);
    expect(JSON.parse(line)).toBe(data);
  }
});

test("[HS-3] no greeting, no reply, no goodbye; its form is its own", () => {
  expect(protocol.encode({ type: "connected", session: "s", ping: 1 })).toBeNull();
  expect(protocol.encode({ type: "disconnect", code: 4200, reason: "", reconnect: true })).toBeNull();
  expect(protocol.encode({ type: "message", channel: "a", data: "x\ny" })).toBe('"x\\ny"');
  expect(protocol.form).not.toBe(dataProtocol(16).form);
});
