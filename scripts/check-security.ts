/**
 * Checks the threat model in SECURITY.md: every line names at least one test, every named test and source file is there, every rule that is named
 * behind a test stands in it, and every option exists. Prints what is wrong and exits with 1.
 */
import { existsSync, readFileSync } from "node:fs";
import { CHANNEL_OPTIONS, SERVER_OPTIONS } from "../packages/server/src/config/schema.ts";

const root = new URL("../", import.meta.url);
const PAGE = "SECURITY.md";
const COLUMNS = 4;

/** `path` [rule] [rule], or a word of code. */
const MENTION = /`([^`]+)`((?: \[[A-Z]+-?\d+\])*)/g;

const options = new Set([...Object.keys(SERVER_OPTIONS), ...Object.keys(CHANNEL_OPTIONS), "namespaces", "channels"]);
const faults: string[] = [];

function readRows(): string[][] {
  const [, threats = ""] = readFileSync(new URL(PAGE, root), "utf8").split("\n## Threats\n");
  return threats
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^\|[ -]*-[ |-]*$/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function isPath(word: string): boolean {
  return /^(packages|e2e|scripts|deploy|docs)\//.test(word);
}

function checkTests(threat: string, cell: string): void {
  const tests = [...cell.matchAll(MENTION)].filter(([, word = ""]) => isPath(word));
  if (tests.length === 0) faults.push(`"${threat}" names no test`);
  for (const [, path = "", rules = ""] of tests) {
    if (!existsSync(new URL(path, root))) {
      faults.push(`"${threat}": there is no ${path}`);
      continue;
    }
    const text = readFileSync(new URL(path, root), "utf8");
    for (const [rule] of rules.matchAll(/\[[A-Z]+-?\d+\]/g)) {
      if (!text.includes(rule)) faults.push(`"${threat}": ${path} does not say ${rule}`);
    }
  }
}

function checkMeans(threat: string, cell: string): void {
  for (const [, word = ""] of cell.matchAll(MENTION)) {
    const isThere = isPath(word) ? existsSync(new URL(word, root)) : options.has(word.replace(/ = .*/, ""));
    if (!isThere) faults.push(`"${threat}": there is no ${word}`);
  }
}

const rows = readRows().filter(([first]) => first !== "threat");
for (const row of rows) {
  const [threat = "", , means = "", tests = ""] = row;
  if (row.length !== COLUMNS) faults.push(`"${threat}" has ${row.length} columns in place of ${COLUMNS}`);
  checkMeans(threat, means);
  checkTests(threat, tests);
}
if (rows.length === 0) faults.push("there is no table");
for (const fault of faults) process.stderr.write(`${PAGE}: ${fault}\n`);
process.stdout.write(`${PAGE}: ${rows.length} threats, ${faults.length} faults\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
