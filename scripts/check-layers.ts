/** `bun scripts/check-layers.ts`: prints every import, ring and use of the clock that the house does not allow; exits with 1 if there is one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { complain, findFiles, ROOT, say } from "./lib/files.mjs";
import { checkLayers } from "./lib/layers.ts";

const files = findFiles("packages", (name) => /\.tsx?$/.test(name) && !name.endsWith(".d.ts"));
const violations = checkLayers(new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")])));
for (const { file, line, message } of violations) complain(`${file}:${line}: ${message}`);
if (violations.length === 0) say(`layers: ${files.length} files keep the rules`);
process.exitCode = violations.length === 0 ? 0 : 1;
