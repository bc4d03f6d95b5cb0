/**
 * `npm test`: installs what is missing, runs every test, prints `N passed, N failed` last. `npm test -- WORD...` runs only the
 * files whose paths hold one of the words.
 */
import { ensureTestPackages } from "./lib/debian.mjs";
import { findFiles } from "./lib/files.mjs";
import { ensureInstalled } from "./lib/install.mjs";
import { finish, runTests } from "./lib/run-tests.mjs";

const bun = ensureInstalled();
ensureTestPackages();

const words = process.argv.slice(2).filter((word) => !word.startsWith("-"));
const chosen = (file) => words.length === 0 || words.some((word) => file.includes(word));
const tests = findFiles(".", (name) => /\.test\.tsx?$/.test(name)).filter(chosen);
const endToEnd = findFiles(".", (name) => /\.e2e\.tsx?$/.test(name)).filter(chosen);
// Machines are slow at times, and no test is about speed.
const flags = ["--timeout=60000"];

finish([
  // A file per process at a time: every core is used, and what a file leaves behind reaches no other file.
  await runTests(bun, { name: "tests", files: tests, flags: [...flags, "--parallel"] }),
  // Servers and browsers as a user starts them: one after the other.
  await runTests(bun, { name: "end to end", files: endToEnd, flags }),
]);
