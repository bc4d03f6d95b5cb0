/**
 * Publications per second of the memory and sqlite engines, in batches and one per turn:
 *
 *     bun packages/server/bench/engine.bench.ts [publications]
 *
 * A batch is what one turn of the event loop publishes without waiting; "one per turn" waits for each answer, so it shows the
 * price of a commit.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { createLogger } from "../src/base/log.ts";
import { openMemoryEngine } from "../src/engines/memory/engine.ts";
import { openSqliteEngine } from "../src/engines/sqlite/engine.ts";
import type { Broker, Sink } from "../src/ports/broker.ts";
import type { Engine, EngineSettings } from "../src/ports/engine.ts";

const CHANNELS = 200;
const BATCH = 1_000;
const COUNT = Number(process.argv[2] ?? 300_000);

const settings: EngineSettings = {
  retentionOf: () => ({ size: 100, ttlMs: 300_000 }),
  idempotencyMs: 300_000,
  positionTtlMs: 30 * 86_400_000,
};
const sink: Sink = { publication: nothing, event: nothing, top: nothing, fenced: nothing };

function nothing(): void {}
const draft = { data: JSON.stringify({ text: "x".repeat(150) }), keep: true };
const names = Array.from({ length: CHANNELS }, (_, index) => `bench:${index}`);

async function publishBatches(broker: Broker, count: number): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    const batch: Promise<unknown>[] = [];
    for (let index = 0; index < BATCH; index++) batch.push(broker.publish(names[index % CHANNELS] as string, draft));
    await Promise.all(batch);
  }
}

async function publishOneByOne(broker: Broker, count: number): Promise<void> {
  for (let done = 0; done < count; done++) await broker.publish(names[done % CHANNELS] as string, draft);
}

async function rate(count: number, run: () => Promise<void>): Promise<string> {
  const start = performance.now();
  await run();
  return Math.round((count / (performance.now() - start)) * 1_000).toLocaleString("en");
}

async function measure(name: string, engine: Engine): Promise<void> {
  const { broker } = engine;
  for (const channel of names) await broker.subscribe(channel);
  await publishBatches(broker, 20_000);
  const batches = await rate(COUNT, () => publishBatches(broker, COUNT));
  const single = COUNT / 10;
  const singles = await rate(single, () => publishOneByOne(broker, single));
  process.stdout.write(
    `${name.padEnd(16)} ${batches.padStart(12)} in batches   ${singles.padStart(12)} one per turn\n`,
  );
  await engine.close();
}

const log = createLogger("warn", "pretty");
const folder = mkdtempSync(join(tmpdir(), "longwire-bench-"));
try {
  process.stdout.write(`publications per second, ${CHANNELS} channels, ${draft.data.length} bytes each\n`);
  await measure("memory", openMemoryEngine(settings, sink, systemClock));
  for (const sync of ["normal", "full"] as const) {
    const options = { dataDir: join(folder, sync), sync };
    await measure(`sqlite ${sync}`, openSqliteEngine(options, settings, sink, systemClock, log));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
