/** T11: how long a start takes, and what the idle server holds. */
import { type Bench, median } from "../bench.ts";
import { startLongwire } from "../servers.ts";
import { processTree, residentBytes } from "../usage.ts";

const STARTS = 5;
const SETTLE_MS = 2000;
const START_TARGET_MS = 300;
const IDLE_TARGET_MB = 60;

export async function runStart(bench: Bench): Promise<void> {
  const startsMs: number[] = [];
  const idleMegabytes: number[] = [];
  for (let start = 0; start < STARTS; start++) {
    const server = await startLongwire(bench, "sqlite");
    startsMs.push(server.startSeconds * 1000);
    await Bun.sleep(SETTLE_MS);
    idleMegabytes.push(residentBytes(processTree(server.child.pid)) / 2 ** 20);
    await bench.children.stop(server.child);
  }
  bench.report.table(`Start: median of ${STARTS} starts with an empty data folder`, [
    {
      "start to ready, ms": median(startsMs),
      "slowest, ms": Math.max(...startsMs),
      "idle, MB": median(idleMegabytes),
    },
  ]);
  bench.report.target({
    id: "T11",
    what: "start to ready",
    measured: median(startsMs),
    limit: START_TARGET_MS,
    good: "at most",
    unit: "ms",
  });
  bench.report.target({
    id: "T11",
    what: "idle resident memory",
    measured: median(idleMegabytes),
    limit: IDLE_TARGET_MB,
    good: "at most",
    unit: "MB",
  });
}
