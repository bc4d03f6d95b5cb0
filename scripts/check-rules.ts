/**
 * Checks that SPEC.md and the tests agree: every rule id once, in order, and every `[XX-n]` that a test name or a vector carries is a
 * rule. Prints what is wrong and exits with 1. With `--untested` it lists the rules that no test names, which is no fault.
 */
import { readFileSync } from "node:fs";

const root = new URL("../", import.meta.url).pathname;
const read = (path: string): string => readFileSync(root + path, "utf8");

const rules = [...read("SPEC.md").matchAll(/^- \*\*([A-Z]{2}-\d+)\*\*/gm)].map((match) => match[1] ?? "");
const faults: string[] = [];

rules.forEach((rule, index) => {
  const [group, number] = rule.split("-");
  const [groupBefore, numberBefore] = (rules[index - 1] ?? "-").split("-");
  const next = group === groupBefore ? Number(numberBefore) + 1 : 1;
  if (Number(number) !== next) faults.push(`SPEC.md: ${rule} stands where ${group}-${next} is expected`);
});

const named = new Set<string>();
function note(path: string, pattern: RegExp): void {
  for (const [ids] of read(path).matchAll(pattern)) {
    for (const [rule] of ids.matchAll(/[A-Z]{2}-\d+/g)) {
      named.add(rule);
      if (!rules.includes(rule)) faults.push(`${path}: ${rule} is no rule of SPEC.md`);
    }
  }
}

const options = { cwd: root, onlyFiles: true };
for (const path of new Bun.Glob("{packages,e2e,bench}/**/*.ts").scanSync(options)) {
  if (/(^|\/)node_modules\//.test(path) || !/\.(test|e2e|fuzz)\.ts$|\/test\//.test(path)) continue;
  note(path, /["'`](?:\[[A-Z]+-?\d+\] ?)+/g);
}
for (const path of new Bun.Glob("packages/protocol/vectors/*.json").scanSync(options)) {
  note(path, /"rule": "[A-Z]{2}-\d+"/g);
}

for (const fault of faults) process.stderr.write(`${fault}\n`);
const untested = rules.filter((rule) => !named.has(rule));
process.stdout.write(
  `SPEC.md: ${rules.length} rules, ${rules.length - untested.length} named by tests, ${faults.length} faults\n`,
);
if (process.argv.includes("--untested")) process.stdout.write(`${untested.join(" ")}\n`);
process.exitCode = faults.length === 0 ? 0 : 1;
