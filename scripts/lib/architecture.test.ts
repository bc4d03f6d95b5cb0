import { expect, test } from "bun:test";
import { architectureFaults } from "./architecture.ts";

const FILES = ["packages/x/src/a.ts", "packages/x/src/b.ts"];

const page = (...lines: readonly string[]): string =>
  ["# Architecture", "- `elsewhere.ts` is no file of the list", "### `packages/x/src`", ...lines].join("\n");

test("a list that names each file once, with a line, is good", () => {
  expect(architectureFaults(page("- `a.ts`: does this.", "- `b.ts`: does that."), FILES)).toEqual([]);
});

test("a missing file, an unknown one, one that stands twice and one without a line are faults", () => {
  expect(
    architectureFaults(page("- `a.ts`: does this.", "- `a.ts`: again.", "- `c.ts`: gone.", "- `b.ts`"), FILES),
  ).toEqual([
    "packages/x/src/a.ts stands twice",
    "there is no packages/x/src/c.ts",
    "packages/x/src/b.ts has no line that says what it is for",
  ]);
  expect(architectureFaults(page("- `a.ts`: does this."), FILES)).toEqual(["packages/x/src/b.ts is missing"]);
});

test("a heading that is no folder ends the list", () => {
  expect(architectureFaults(page("- `a.ts`: this.", "- `b.ts`: that.", "## Other", "- `c.ts`: x"), FILES)).toEqual([]);
});
