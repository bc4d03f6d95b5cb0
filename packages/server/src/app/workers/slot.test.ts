import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../../test/support/fake-clock.ts";
import { StartupError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import type { Capacity } from "../capacity.ts";
import { Slot } from "./slot.ts";
import type { Ending, WorkerProcess } from "./worker-process.ts";

class FakeWorker {
  readonly pid: number;
  readonly told: string[] = [];
  readonly #ready = Promise.withResolvers<Capacity["shown"]>();
  readonly #ended = Promise.withResolvers<Ending>();
  readonly ready = this.#ready.promise;
  readonly ended = this.#ended.promise;

  constructor(
    place: number,
    readonly leave: () => void,
  ) {
    this.pid = place;
    this.ready.catch(() => undefined);
  }

  async becomeReady(): Promise<void> {
    this.#ready.resolve({ connectionsMax: 1, memoryBytesMax: 1, descriptors: 1 });
    await settled();
  }

  async end(livedMs = 0, how = "SIGKILL"): Promise<void> {
    this.#ready.reject(new StartupError("it has ended", ""));
    this.#ended.resolve({ how, reason: undefined, livedMs });
    await settled();
  }

  letGo(): void {
    this.told.push("let-go");
  }

  stop(): void {
    this.told.push("stop");
  }
}

/** What promises lead to has happened. */
function settled(): Promise<void> {
  return new Promise((done) => void setImmediate(done));
}

const quiet = (): void => undefined;

function build() {
  const clock = new FakeClock();
  const workers: FakeWorker[] = [];
  const errors: unknown[] = [];
  const machine = { hasProcesses: true, shuts: 0 };
  const log: Logger = { debug: quiet, info: quiet, warn: quiet, error: (_, fields) => errors.push(fields) };
  const slot = new Slot({
    number: 1,
    clock,
    log,
    spawn(leaving) {
      if (!machine.hasProcesses) throw new StartupError("worker 1 cannot be started: ENOENT", "");
      const worker: FakeWorker = new FakeWorker(workers.length, () => leaving(worker as unknown as WorkerProcess));
      workers.push(worker);
      return worker as unknown as WorkerProcess;
    },
    shut: () => machine.shuts++,
  });
  const worker = (index: number): FakeWorker => {
    const found = workers[index];
    if (found === undefined) throw new Error(`worker ${index} was not started`);
    return found;
  };
  const begin = async (): Promise<void> => {
    const started = slot.start();
    await worker(0).becomeReady();
    await started;
  };
  return { clock, workers, worker, errors, machine, slot, begin };
}

describe("[WK-3] a place whose worker has died", () => {
  test("is filled when the machine has a process again, after pauses", async () => {
    const { clock, worker, workers, errors, machine, begin } = build();
    await begin();
    machine.hasProcesses = false;
    await worker(0).end(60_000);
    clock.advance(0);
    clock.advance(0);
    clock.advance(100);
    expect(errors).toMatchObject([
      { how: "SIGKILL", replacedInMs: 0 },
      { how: "not started", reason: "worker 1 cannot be started: ENOENT", replacedInMs: 0 },
      { how: "not started", replacedInMs: 100 },
      { how: "not started", replacedInMs: 200 },
    ]);
    machine.hasProcesses = true;
    clock.advance(200);
    expect(workers).toHaveLength(2);
  });

  test("again and again is shut, but not while another is coming to it", async () => {
    const { clock, worker, machine, slot, begin } = build();
    await begin();
    for (let count = 0; count < 3; count++) {
      await worker(count).end();
      clock.advance(100);
    }
    expect(machine.shuts).toBe(1);
    clock.advance(100);
    const replaced = slot.replace();
    await worker(3).end();
    expect(machine.shuts).toBe(1);
    await worker(4).becomeReady();
    expect(await replaced).toBeUndefined();
    await worker(4).end();
    expect(machine.shuts).toBe(2);
  });
});

describe("a place whose worker is to be replaced", () => {
  test("[WK-12] because somebody has asked it to leave: who has just come to it may still speak", async () => {
    const { clock, worker, begin } = build();
    await begin();
    worker(0).leave();
    clock.advance(500);
    await worker(1).becomeReady();
    expect(worker(0).told).toEqual(["let-go"]);
    clock.advance(1000);
    await settled();
    expect(worker(0).told).toEqual(["let-go", "stop"]);
  });

  test("[WK-12] and asked twice: one takes its place, or it goes all the same, and the log says why", async () => {
    const { clock, worker, workers, errors, begin } = build();
    await begin();
    worker(0).leave();
    worker(0).leave();
    clock.advance(500);
    expect(workers).toHaveLength(2);
    await worker(1).end();
    expect(worker(0).told).toEqual(["stop"]);
    expect(errors).toContainEqual({ worker: 1, reason: "it has ended" });
  });

  test("[WK-3] and dies with its last clients: the log says so, and nobody takes its place once more", async () => {
    const { worker, workers, errors, slot, begin } = build();
    await begin();
    for (const [index, how] of ["SIGKILL", "exit code 0"].entries()) {
      const replaced = slot.replace();
      await worker(index + 1).becomeReady();
      await replaced;
      await worker(index).end(60_000, how);
    }
    expect(errors).toEqual([expect.objectContaining({ pid: 0, how: "SIGKILL", replacedInMs: undefined })]);
    expect(workers).toHaveLength(3);
  });

  test("[WK-6] while the server stops: nobody is put there any more", async () => {
    const { worker, workers, slot, begin } = build();
    await begin();
    const replaced = slot.replace();
    const closed = slot.close();
    await worker(1).becomeReady();
    expect(await replaced).toBeUndefined();
    expect(await slot.replace()).toBeUndefined();
    expect(workers).toHaveLength(2);
    for (const one of workers) await one.end();
    await closed;
  });

  test("[WK-6] nor waits anybody there once it is empty", async () => {
    const { worker, machine, slot, begin } = build();
    await begin();
    const closed = slot.close();
    expect(machine.shuts).toBe(0);
    await worker(0).end();
    await closed;
    expect(machine.shuts).toBe(1);

    const waiting = build();
    await waiting.begin();
    await waiting.worker(0).end();
    await waiting.slot.close();
    expect(waiting.machine.shuts).toBe(1);
  });
});
