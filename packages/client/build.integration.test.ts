import { expect, test } from "bun:test";
import { buildGlobal, sizeOf } from "./build.ts";

test("the script tag's bundle defines `Longwire` and stays small", async () => {
  const script = await buildGlobal();
  const page: { Longwire?: Record<string, unknown> } = {};
  // oxlint-disable-next-line no-implied-eval, no-new-func -- the bundle is a script: this is how a page runs it
  new Function("globalThis", script)(page);
  expect(Object.keys(page.Longwire ?? {})).toEqual(["Channel", "Client", "connect", "LongwireError"]);
  // What all four transports and the way between them take today, so that it does not grow unseen. The aim is 8 KB.
  expect(sizeOf(script).gzipBytes).toBeLessThanOrEqual(9.25 * 1024);
});
