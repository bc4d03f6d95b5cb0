import { expect, test } from "bun:test";
import { ReplyError } from "../base/failures.ts";
import { errorOf, errorText } from "./reply-error.ts";

test("a refusal comes back as it was", () => {
  const refusals = [
    new ReplyError("conflict"),
    new ReplyError("tooLarge", "by far"),
    new ReplyError("badField", "it is no number", 500, "a.b"),
  ];
  for (const refusal of refusals) expect(errorOf(JSON.parse(errorText(refusal)))).toEqual(refusal);
});

test("[NB-9] one of another version is `unavailable`", () => {
  expect(errorOf({ error: "tooPurple" })).toMatchObject({ error: "unavailable" });
});
