/** `npm run docs` writes the pages that are printed from code; with `--check` it only says which are stale, and exits with 1. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { docsPage } from "../packages/server/src/config/reference.ts";
import { complain, ROOT, say } from "./lib/files.mjs";

/** Path from the repository's root -> its text. */
export const PAGES: ReadonlyMap<string, () => string> = new Map([["docs/configuration.md", docsPage]]);

/** Those whose file does not hold what the code prints. */
export function stalePages(): string[] {
  return [...PAGES].filter(([path, print]) => contentOf(path) !== print()).map(([path]) => path);
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(join(ROOT, path), "utf8");
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const stale = stalePages();
  if (process.argv.includes("--check")) {
    for (const path of stale) complain(`${path} is stale; \`npm run docs\` writes it anew`);
    if (stale.length === 0) say(`docs: ${PAGES.size} printed pages are fresh`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    for (const path of stale) {
      mkdirSync(dirname(join(ROOT, path)), { recursive: true });
      writeFileSync(join(ROOT, path), PAGES.get(path)?.() ?? "");
      say(`wrote ${path}`);
    }
  }
}
