/** `npm run bench` and `npm run docs`: installs what is missing and runs a script of ours with the pinned Bun. */
import { become } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/install.mjs";

become(ensureInstalled(), process.argv.slice(2));
