/**
 * Checks docs/features.md: every id once and without a gap, a known state, tests for every line that works, and every named
 * test file there. Prints what is wrong and exits with 1.
 */
import { existsSync, readFileSync } from "node:fs";

const root = new URL("../", import.meta.url);
const PAGE = "docs/features.md";
/** The last number of each group. */
const GROUPS = { A: 25, B: 15, C: 23, D: 11, E: 22, F: 22 } as const;

interface Line {
  readonly id: string;
  readonly state: string;
  readonly tests: readonly string[];
}

function readLines(text: string): Line[] {
  return text
    .split("\n")
    .filter((line) => /^\| [A-Z]-\d+ +\|/.test(line))
    .map((line) => {
      // A `|` within code is written `\|` in a table.
      const cells = line.split(/(?<!\\)\|/).map((cell) => cell.trim());
      const [, id = "", , state = "", , tests = ""] = cells;
      return { id, state, tests: [...tests.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "") };
    });
}

function faultsOf(lines: readonly Line[]): string[] {
  const faults: string[] = [];
  const expected = Object.entries(GROUPS).flatMap(([group, last]) =>
    Array.from({ length: last }, (_, index) => `${group}-${index + 1}`),
  );
  for (const id of expected) {
    const count = lines.filter((line) => line.id === id).length;
    if (count !== 1) faults.push(`${id} stands ${count} times`);
  }
  for (const { id, state, tests } of lines) {
    if (!expected.includes(id)) faults.push(`${id} is no known id`);
    if (state !== "works" && state !== "not yet") faults.push(`${id} has the unknown state "${state}"`);
    if (state === "works" && tests.length === 0) faults.push(`${id} works, but names no test`);
    for (const test of tests) if (!existsSync(new URL(test, root))) faults.push(`${id}: there is no ${test}`);
  }
  return faults;
}

const lines = readLines(readFileSync(new URL(PAGE, root), "utf8"));
const faults = faultsOf(lines);
for (const fault of faults) process.stderr.write(`${PAGE}: ${fault}\n`);
const working = lines.filter(({ state }) => state === "works").length;
process.stdout.write(`${PAGE}: ${working} of ${lines.length} lines work, ${faults.length} faults\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
