/**
 * `npm run bench`: measures Longwire beside its yardsticks and peers, from outside and on loopback. The method is told in
 * docs/benchmarks.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";

import type { Bench } from "./bench.ts";
import { Children } from "./children.ts";
import { compileNative } from "./native.ts";
import { type CommandLine, HELP, parseCommandLine, type SectionName } from "./options.ts";
import { Report } from "./report.ts";
import { runCompression } from "./sections/compression.ts";
import { runFanout } from "./sections/fanout.ts";
import { runGrowth } from "./sections/growth.ts";
import { runMemory } from "./sections/memory.ts";
import { runPoll } from "./sections/poll.ts";
import { runPublish } from "./sections/publish.ts";
import { runRedis } from "./sections/redis.ts";
import { runStart } from "./sections/start.ts";
import { runStorm } from "./sections/storm.ts";
import { runStreams } from "./sections/streams.ts";
import { runTransports } from "./sections/transports.ts";
import { runUpkeep } from "./sections/upkeep.ts";
import { runWorkers } from "./sections/workers.ts";

const SECTIONS: Readonly<Record<SectionName, (bench: Bench) => Promise<void>>> = {
  start: runStart,
  publish: runPublish,
  fanout: runFanout,
  streams: runStreams,
  transports: runTransports,
  compression: runCompression,
  poll: runPoll,
  memory: runMemory,
  growth: runGrowth,
  upkeep: runUpkeep,
  storm: runStorm,
  workers: runWorkers,
  redis: runRedis,
};

/** Load of others from which figures of a machine are doubtful. */
const DISTURBING_LOAD = 0.5;

function print(text: string): void {
  process.stdout.write(text);
}

async function runSections(commandLine: CommandLine, folder: string, children: Children): Promise<boolean> {
  const report = new Report(print);
  const tools = await compileNative(folder);
  const machine = `${availableParallelism()} cores, Linux ${release()}, Bun ${Bun.version}`;
  report.say(`Machine: ${machine}. ${commandLine.rounds} rounds of ${commandLine.seconds} s.`);
  const load = loadavg()[0] ?? 0;
  if (load > DISTURBING_LOAD) report.say(`Others use this machine (load ${load.toFixed(2)}): figures will scatter.`);
  const bench: Bench = { children, tools, folder, options: commandLine, report };
  let complete = true;
  for (const section of commandLine.sections) {
    try {
      await SECTIONS[section](bench);
    } catch (error) {
      // One section that cannot run should not cost the figures of the others.
      complete = false;
      report.say(`\n${section}: ${error instanceof Error ? error.message : String(error)}`);
    }
    await children.stopAll();
  }
  report.sayTargets();
  if (commandLine.jsonFile !== undefined) {
    const figures = { machine, at: new Date().toISOString(), ...(report.toJSON() as object) };
    writeFileSync(commandLine.jsonFile, `${JSON.stringify(figures, undefined, 2)}\n`);
  }
  return complete;
}

async function main(): Promise<number> {
  const commandLine = parseCommandLine(process.argv.slice(2));
  if (commandLine === undefined) {
    print(HELP);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "longwire-bench-"));
  const children = new Children();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      children.killAllNow();
      rmSync(folder, { recursive: true, force: true });
      process.exit(1);
    });
  }
  try {
    return (await runSections(commandLine, folder, children)) ? 0 : 1;
  } finally {
    await children.stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
