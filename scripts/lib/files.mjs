/** Finds files of the repository by the end of their names. */
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const SKIPPED = new Set(["node_modules", "dist", "data"]);

/** Paths from the repository's root, sorted, so that every machine takes them in the same order. */
export function findFiles(folder, wanted) {
  const found = [];
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (SKIPPED.has(entry.name) || entry.name.startsWith(".")) continue;
      const child = join(path, entry.name);
      if (entry.isDirectory()) visit(child);
      else if (wanted(entry.name)) found.push(relative(ROOT, child).replaceAll("\\", "/"));
    }
  };
  visit(join(ROOT, folder));
  return found.toSorted((one, other) => (one < other ? -1 : 1));
}

export function say(line) {
  process.stdout.write(`${line}\n`);
}

export function complain(line) {
  process.stderr.write(`${line}\n`);
}
