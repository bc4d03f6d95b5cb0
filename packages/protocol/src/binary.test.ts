import { expect, test } from "bun:test";
import { base64Fault } from "./binary.ts";

test("[BI-1] bytes of every length and value are base64 as Buffer writes it", () => {
  const bytes = Buffer.from(Array.from({ length: 512 }, (_, at) => at % 256));
  for (let length = 0; length <= bytes.length; length++) {
    expect(base64Fault(bytes.subarray(bytes.length - length).toString("base64"))).toBeUndefined();
  }
});

test("[BI-1] a character that is no digit is found wherever it stands", () => {
  const good = Buffer.alloc(12, 255).toString("base64");
  for (let at = 0; at < good.length; at++) {
    for (const character of ["-", "_", " ", "\n", "\u0000", "é", "="]) {
      if (character === "=" && at === good.length - 1) continue;
      const text = good.slice(0, at) + character + good.slice(at + 1);
      expect({ text, fault: base64Fault(text) !== undefined }).toEqual({ text, fault: true });
    }
  }
});
