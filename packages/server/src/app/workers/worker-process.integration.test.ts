import { expect, test } from "bun:test";
import { systemClock } from "../../base/clock.ts";
import { loadConfig } from "../../config/load.ts";
import { StartupError } from "../../base/failures.ts";
import { WorkerProcess } from "./worker-process.ts";

function startWorker(command: readonly string[]): WorkerProcess {
  const { config } = loadConfig({ argv: [], env: {}, cwd: import.meta.dir });
  return new WorkerProcess({
    command,
    env: { PATH: process.env["PATH"] },
    config,
    place: { number: 1, workers: 1, engineSocket: undefined, logFormat: "json" },
    web: [],
    tcp: [],
    clock: systemClock,
    leaving: () => undefined,
  });
}

// Between the end of a process and the news of it there are turns in which it takes nothing more: what is said to it then must not be the end of its supervisor.
test("[WK-3] what is said to a worker that has just died is lost, and nothing else", async () => {
  for (let round = 0; round < 20; round++) {
    const worker = startWorker([
      process.execPath,
      "-e",
      "process.send({ type: 'beat' }); setTimeout(() => process.exit(0), 20)",
    ]);
    let hasEnded = false;
    void worker.ended.then(() => (hasEnded = true));
    const speak = async (pause: () => Promise<unknown>): Promise<void> => {
      worker.hurry();
      await pause();
      if (!hasEnded) await speak(pause);
    };
    // In as many places of a turn as there are.
    await Promise.all([
      ...Array.from({ length: 20 }, () => speak(() => Bun.sleep(Math.random() * 2))),
      speak(() => new Promise((resolve) => setImmediate(resolve))),
    ]);
    expect(await worker.ended).toMatchObject({ how: "exit code 0" });
  }
});

test("[WK-3] one that the machine has no process for is an expected failure", () => {
  expect(() => startWorker(["/no/such/program"])).toThrow(StartupError);
});
