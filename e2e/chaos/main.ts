/**
 * `npm run chaos`: all storms, in full; `-- --short`: smaller and quicker; further words choose storms by what is in their names or systems.
 * Prints a table, and ends with 1 where something promised was broken. LONGWIRE_SEED=... repeats a run. `--docs` puts the table into
 * docs/reliability.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SCENARIOS, type Scenario } from "./scenarios.ts";
import { FULL, type Outcome, runStorm, SHORT } from "./storm.ts";
import { stopSystems } from "./systems.ts";
import { tableOf } from "./table.ts";

/** Shown of a storm that broke something. */
const REMARKS = 20;

const PAGE = join(import.meta.dir, "../../docs/reliability.md");

const args = process.argv.slice(2);
const size = args.includes("--short") ? SHORT : FULL;
const words = args.filter((word) => !word.startsWith("-")).map((word) => word.toLowerCase());
const seed = Number(process.env["LONGWIRE_SEED"] || 1 + Math.floor(Math.random() * 2 ** 31));
const isWanted = ({ name, system, times }: Scenario): boolean =>
  words.length > 0
    ? words.every((word) => `${system} ${name}`.toLowerCase().includes(word))
    : !size.isShort || times[0] > 0;

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const outcomes: Outcome[] = [];
let isBroken = false;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void stopSystems().then(() => process.exit(1)));
say(`seed ${seed}: LONGWIRE_SEED=${seed} npm run chaos -- ${args.join(" ")} repeats this run`);
for (const scenario of SCENARIOS.filter(isWanted)) {
  const startedAt = performance.now();
  say(`\n${scenario.system}: ${scenario.name}`);
  try {
    const outcome = await runStorm(scenario, size, seed);
    if (outcome === undefined) say("  not possible on this machine: a network namespace is needed");
    else {
      outcomes.push(outcome);
      isBroken ||= outcome.broken.length > 0;
      for (const sentence of outcome.broken) say(`  BROKEN: ${sentence}`);
      if (outcome.broken.length > 0) for (const remark of outcome.remarks.slice(0, REMARKS)) say(`    ${remark}`);
      say(`  ${JSON.stringify(outcome.figures)}`);
      say(`  ${JSON.stringify(outcome.report.codes)}`);
    }
  } catch (error) {
    isBroken = true;
    say(`  BROKEN: ${error instanceof Error ? error.message : String(error)}`);
  }
  say(`  ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}
say(`\n${tableOf(outcomes)}\n\nseed ${seed}`);
if (args.includes("--docs")) {
  const { channels, perSecond, clients, isShort } = size;
  const command = `LONGWIRE_SEED=${seed} npm run chaos${isShort ? " -- --short" : ""}`;
  const introduction = `\`${command}\`: ${perSecond} publications/s to ${channels} channels, ${clients} clients; clients, nodes and Redis on the same machine.`;
  const text = `<!-- chaos -->\n\n${introduction}\n\n${tableOf(outcomes)}\n\n<!-- /chaos -->`;
  writeFileSync(
    PAGE,
    readFileSync(PAGE, "utf8").replace(/<!-- chaos -->.*<!-- \/chaos -->/s, () => text),
  );
}
process.exit(isBroken ? 1 : 0);
