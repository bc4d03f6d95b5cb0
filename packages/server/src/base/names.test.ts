import { expect, test } from "bun:test";
import { firstByName } from "./names.ts";

test("the first names are those that sorting all of them gives, in whatever order they come", () => {
  const names = Array.from({ length: 500 }, (_, n) => `n${(n * 7919) % 500}`);
  for (const query of [{ limit: 7 }, { limit: 7, after: "n3" }, { limit: 1000, prefix: "n4" }, { limit: 0 }]) {
    const sorted = names
      .toSorted()
      .filter((name) => name > ("after" in query ? query.after : "") && name.startsWith(query.prefix ?? ""));
    for (const order of [names, sorted, sorted.toReversed()])
      expect(firstByName(order, (name) => name, query)).toEqual(sorted.slice(0, query.limit));
  }
});
