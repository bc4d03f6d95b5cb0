/**
 * `npm run chaos`: workers, nodes and Redis are broken under load, and a table says what became of it; about half an hour. `-- --short`: smaller and
 * quicker. Words choose storms by what is in their names: `npm run chaos -- --short sentinel killed`.
 */
import { become } from "./lib/child.mjs";
import { ensureTestPackages } from "./lib/debian.mjs";
import { ensureInstalled } from "./lib/install.mjs";

const bun = ensureInstalled();
ensureTestPackages();
become(bun, ["e2e/chaos/main.ts", ...process.argv.slice(2)]);
