import { expect, test } from "bun:test";
import { Report } from "../report.ts";
import { sayHoles, saySteady } from "./tables.ts";

function printed(): string {
  let text = "";
  const report = new Report((more) => (text += more));
  for (const say of [saySteady, sayHoles]) say(report, { nodes: [1, 3], seed: 4, masters: 1 });
  return text;
}

test("tables with a row for each number of nodes, the same for the same seed", () => {
  const text = printed();
  expect(text.match(/^## /gm)).toHaveLength(4 + 3);
  for (const table of text.split(/^## /m).slice(1)) expect(table).toMatch(/\| +1 \|[^]*\| +3 \|/);
  expect(text).not.toContain("NaN");
  expect(printed()).toBe(text);
});
