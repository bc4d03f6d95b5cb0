/** `npm start`: installs what is missing and runs the gateway. `npm start -- --port 9000` hands flags on. */
import { join } from "node:path";
import { become } from "./lib/child.mjs";
import { ROOT } from "./lib/files.mjs";
import { ensureInstalled } from "./lib/install.mjs";

const bun = ensureInstalled();
// --no-orphans: a server whose launcher was killed must not go on unseen with its port and its data locked.
become(bun, ["--no-orphans", join(ROOT, "packages/server/src/cli/main.ts"), "serve", ...process.argv.slice(2)]);
