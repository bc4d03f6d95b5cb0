/**
 * `npm run simulate`: how Longwire behaves on 1, 10, 100 and 1,000 nodes, from costs that were measured on one. docs/scaling.md tells what it says.
 *
 *     npm run simulate -- [steady] [storm] [hole] [--seed N] [--nodes 1,10,100]
 */
import { parseArgs } from "node:util";

import { Report } from "../report.ts";
import { sayHoles, saySteady, saySearch, sayStorms } from "./tables.ts";

const SECTIONS = { steady: saySteady, storm: sayStorms, search: saySearch, hole: sayHoles } as const;
type SectionName = keyof typeof SECTIONS;
const SECTION_NAMES = Object.keys(SECTIONS) as SectionName[];

const HELP = `Usage: npm run simulate -- [section…] [options]

Sections (all of them unless named):
  steady   everyday work of four profiles: cores, Redis, network, what breaks first and at how much more
  storm    nodes die, and their clients come back
  search   how many clients a node may have before a storm keeps something full
  hole     nodes are cut off from Redis for a while

Options:
  --seed N        what happens by chance (1)
  --nodes LIST    how many nodes (1,10,100,1000)
  --masters N     of a Redis Cluster (1: no Cluster)
  --json FILE     write the figures there as well

"npm run bench -- storm" measures a storm and prints this simulation's beside it.
`;

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} takes whole numbers above 0, not "${text}"`);
  return value;
}

function sectionNamed(text: string): SectionName {
  const name = SECTION_NAMES.find((candidate) => candidate === text);
  if (name === undefined) throw new Error(`"${text}" is none of ${SECTION_NAMES.join(", ")}`);
  return name;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: {
      seed: { type: "string", default: "1" },
      masters: { type: "string", default: "1" },
      nodes: { type: "string", default: "1,10,100,1000" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const seed = positive("--seed", values.seed);
  const masters = positive("--masters", values.masters);
  const nodes = values.nodes.split(",").map((text) => positive("--nodes", text));
  const chosen = positionals.length === 0 ? SECTION_NAMES : positionals.map(sectionNamed);
  const report = new Report((text) => void process.stdout.write(text));
  report.say(
    `Simulated with seed ${seed}. A node is one process with one core; a machine of eight cores is eight of them.`,
  );
  for (const name of chosen) SECTIONS[name](report, { nodes, seed, masters });
  if (values.json !== undefined) await Bun.write(values.json, `${JSON.stringify(report, undefined, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
