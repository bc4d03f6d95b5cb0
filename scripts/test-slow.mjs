/**
 * `npm run test:slow`: fuzz and chaos with a random seed, at most 45 minutes. `npm run test:slow -- --short`: the same with a fixed
 * seed, at most 10. LONGWIRE_SEED=... repeats a run. The files get LONGWIRE_SLOW (`short` or `full`) and LONGWIRE_SEED.
 */
import { randomInt } from "node:crypto";
import { ensureTestPackages } from "./lib/debian.mjs";
import { findFiles, say } from "./lib/files.mjs";
import { ensureInstalled } from "./lib/install.mjs";
import { finish, runTests } from "./lib/run-tests.mjs";

const SHORT_SEED = "1";
const MINUTE_MS = 60_000;

const bun = ensureInstalled();
ensureTestPackages();

const args = process.argv.slice(2);
const short = args.includes("--short");
const words = args.filter((word) => !word.startsWith("-"));
const seed = process.env.LONGWIRE_SEED || (short ? SHORT_SEED : String(randomInt(1, 2 ** 31)));
const files = findFiles(".", (name) => /\.slow\.tsx?$/.test(name)).filter(
  (file) => words.length === 0 || words.some((word) => file.includes(word)),
);
say(`seed ${seed}: LONGWIRE_SEED=${seed} npm run test:slow${short ? " -- --short" : ""} repeats this run`);
const deadlineMs = (short ? 10 : 45) * MINUTE_MS;
const counts = await runTests(bun, {
  name: `slow tests, ${short ? "short" : "full"}`,
  files,
  // The deadline of the whole run is the only one.
  flags: [`--timeout=${deadlineMs}`],
  env: { LONGWIRE_SLOW: short ? "short" : "full", LONGWIRE_SEED: seed },
  deadlineMs,
});
if (counts.failed > 0) say(`\nseed ${seed}`);
finish([counts]);
