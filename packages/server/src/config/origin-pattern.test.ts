import { expect, test } from "bun:test";
import { originEntry, parseOriginPattern } from "./origin-pattern.ts";

function faultOf(value: unknown): string {
  const faults: string[] = [];
  originEntry.check(value, [], (_, message) => void faults.push(message));
  return faults.join("; ");
}

test("[WS-11] good entries: exact, with a port, sub-domains, apps' own schemes, `null`, all", () => {
  for (const entry of [
    "https://example.com",
    "http://127.0.0.1:3000",
    "http://[::1]:3000",
    "https://*.example.com",
    "https://*.example.com:8443",
    "http://*.localhost:3000",
    "capacitor://localhost",
    "chrome-extension://abcdefghijklmnop",
    "https://bücher.example",
    "null",
    "*",
  ]) {
    expect([entry, faultOf(entry)]).toEqual([entry, ""]);
  }
});

test("[WS-11] an entry that could never match, or would match too much, is refused with words", () => {
  for (const [entry, words] of [
    ["example.com", "it begins with a scheme: https://example.com"],
    ["*.example.com", "it begins with a scheme"],
    ["https://example.com/", "nothing else: https://example.com"],
    ["https://*.example.com/chat", "nothing else: https://*.example.com"],
    ["https://user@example.com", "nothing else: https://example.com"],
    ["wss://example.com", "it is the page's address that counts"],
    ["https://*", "a * stands alone"],
    ["https://ex*mple.com", "a * stands alone"],
    ["https://*.*.example.com", "a * stands alone"],
    ["*://example.com", "a * stands alone"],
    ["https://example.com:*", "a * stands alone"],
    ["https://*.com", "a whole top-level domain"],
    ["https://*.127.0.0.1", "an address has no sub-domains"],
    ["https://*.[::1]", "an address has no sub-domains"],
    ["https://", "nothing else"],
    ["https://example.com:99999", "nothing else"],
    ["", "must be an origin"],
    [null, "must be an origin"],
    [7, "must be an origin"],
  ] as const) {
    expect([entry, faultOf(entry)]).toEqual([entry, expect.stringContaining(words)]);
  }
});

test("the scheme's own port is no port", () => {
  expect(parseOriginPattern("https://example.com:443")).toEqual(parseOriginPattern("https://example.com"));
  expect(parseOriginPattern("https://example.com:80")).not.toEqual(parseOriginPattern("https://example.com"));
});
