/**
 * `npm test`: installs what is missing, runs every test, and some of them again with several workers and on several nodes (lib/suites.mjs); prints
 * `N passed, N failed` last. `npm test -- WORD...` runs only the files whose paths hold one of the words. WORKERS, ENGINE and NODES in the environment say on what
 * all of it runs; then nothing runs again.
 */
import { ensureTestPackages } from "./lib/debian.mjs";
import { findFiles } from "./lib/files.mjs";
import { ensureInstalled } from "./lib/install.mjs";
import { finish, runTests } from "./lib/run-tests.mjs";
import { furtherRuns } from "./lib/suites.mjs";

const bun = ensureInstalled();
ensureTestPackages();

const words = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const chosen = (file) => words.length === 0 || words.some((word) => file.includes(word));
const tests = findFiles(".", (name) => /\.test\.tsx?$/.test(name)).filter(chosen);
const endToEnd = findFiles(".", (name) => /\.e2e\.tsx?$/.test(name)).filter(chosen);
// Machines are slow at times, and no test is about speed.
const flags = ["--timeout=60000"];

// A file per process at a time: every core is used, and what a file leaves behind reaches no other file.
const sideBySide = [...flags, "--parallel"];
const runs = [
  { name: "tests", files: tests, flags: sideBySide },
  // Servers and browsers as a user starts them: one after the other.
  { name: "end to end", files: endToEnd, flags },
  ...furtherRuns(chosen).map((run) => ({ ...run, flags: sideBySide })),
];

const counts = [];
for (const run of runs) counts.push(await runTests(bun, run));
finish(counts);
