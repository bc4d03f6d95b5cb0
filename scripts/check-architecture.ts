/** Checks that ARCHITECTURE.md names every source file of packages/ once, with a line, and none that is not there; exits with 1 if not. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { architectureFaults } from "./lib/architecture.ts";
import { complain, findFiles, ROOT, say } from "./lib/files.mjs";

const files = findFiles("packages", (name) => /\.(tsx?|html|css)$/.test(name) && !/\.(test|d)\.tsx?$/.test(name));
const faults = architectureFaults(readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8"), files);
for (const fault of faults) complain(`ARCHITECTURE.md: ${fault}`);
if (faults.length === 0) say(`ARCHITECTURE.md: ${files.length} source files, each with its line`);
process.exitCode = faults.length === 0 ? 0 : 1;
