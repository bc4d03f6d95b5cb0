import { expect, test } from "bun:test";
import { stalePages } from "./docs.ts";

test("pages that are printed from code are fresh; `npm run docs` writes them", () => {
  expect(stalePages()).toEqual([]);
});
