/**
 * A slot: the place of one worker, with listening sockets of its own. Who is in it changes: a dead worker is replaced, and in a rolling restart the next
 * one accepts from the same sockets before the one before it lets go of them.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import type { Config } from "../../config/schema.ts";
import type { Capacity } from "../capacity.ts";
import { Pauses } from "./pauses.ts";
import { type Ending, GOOD_END, type WorkerProcess } from "./worker-process.ts";

export interface SlotParts {
  readonly number: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Starts a worker with the configuration of this moment. Throws `StartupError` where the machine has no process for it. */
  readonly spawn: (leaving: (worker: WorkerProcess) => void, config?: Config) => WorkerProcess;
  /** Leaves those who come to the other slots, until a worker listens here again. */
  readonly shut: () => void;
}

/** A signal to a single worker often is one to all of them, its supervisor included, who then stops everything. */
const LEAVING_MS = 500;

/**
 * Who came in just before the sockets were let go of has not asked for anything yet; connections without a request are closed at the stop. Meanwhile requests on
 * kept-alive connections get an answer that is the last one there.
 */
const LINGER_MS = 1000;

/** Ends workers that have let go of their sockets. */
export async function retire(workers: readonly WorkerProcess[], clock: Clock): Promise<void> {
  if (workers.length > 0) await new Promise<void>((done) => void clock.after(LINGER_MS, done));
  for (const worker of workers) worker.stop();
  await Promise.all(workers.map(({ ended }) => ended));
}

export class Slot {
  readonly number: number;
  /** All that live, in the order in which they were started. */
  readonly #workers = new Set<WorkerProcess>();
  #current: WorkerProcess | undefined;
  readonly #pauses = new Pauses();
  #waiting: Timer | undefined;
  /** The one that was asked to leave last: asked again, it is still to be replaced once. */
  #leaving: WorkerProcess | undefined;
  /** How many are to take the place of the one that is there, and are not ready yet. */
  #comingCount = 0;
  /** Before, a worker that ends is the end of the start. */
  #isUp = false;
  #isClosed = false;

  constructor(private readonly parts: SlotParts) {
    this.number = parts.number;
  }

  /** The first one. Rejects with `StartupError`. */
  async start(): Promise<Capacity["shown"]> {
    const capacity = await this.#fill().ready;
    this.#isUp = true;
    return capacity;
  }

  workers(): readonly WorkerProcess[] {
    return [...this.#workers];
  }

  /**
   * Puts another worker, with another configuration if one is given, in the place of the one that is there. Resolves with that one, which is to be stopped,
   * once the other is ready; undefined: there was none. Rejects with `StartupError`; then everything is as it was.
   */
  async replace(config?: Config): Promise<WorkerProcess | undefined> {
    if (this.#isClosed) return undefined;
    const next = this.#spawn(config);
    this.#comingCount++;
    await next.ready.finally(() => this.#comingCount--);
    if (this.#isClosed) return undefined;
    const before = this.#current;
    this.#waiting?.cancel();
    this.#current = next;
    before?.letGo();
    this.parts.log.info("worker replaced", { worker: this.number, pid: next.pid, before: before?.pid });
    return before;
  }

  /** Nobody is put here any more. Resolves when those who are here have ended, which is for others to bring about. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting?.cancel();
    this.#shutIfEmpty();
    await Promise.all(this.workers().map(({ ended }) => ended));
  }

  #fill(): WorkerProcess {
    const worker = this.#spawn();
    this.#current = worker;
    return worker;
  }

  #spawn(config?: Config): WorkerProcess {
    const worker = this.parts.spawn((leaving) => this.#left(leaving), config);
    this.#workers.add(worker);
    void worker.ended.then((ending) => this.#ended(worker, ending));
    return worker;
  }

  #ended(worker: WorkerProcess, ending: Ending): void {
    this.#workers.delete(worker);
    if (this.#isClosed) this.#shutIfEmpty();
    if (!this.#isUp || this.#isClosed) return;
    if (worker === this.#current) {
      this.#current = undefined;
      this.#refillAfter(ending, worker.pid);
    } else if (ending.how !== GOOD_END) this.#tellDeath(ending, worker.pid);
  }

  #tellDeath({ how, reason, livedMs }: Ending, pid?: number, replacedInMs?: number): void {
    const { number: worker } = this;
    this.parts.log.error("worker died", { worker, pid, how, reason, livedMs: Math.round(livedMs), replacedInMs });
  }

  /** While the others still have clients nobody waits here: a worker that ended without a word, or was never up, has not shut the socket. */
  #shutIfEmpty(): void {
    if (this.#workers.size === 0) this.parts.shut();
  }

  #refillAfter(ending: Ending, pid?: number): void {
    const { ms, isLong } = this.#pauses.next(ending.livedMs);
    this.#tellDeath(ending, pid, ms);
    // Whoever is coming listens on this socket, or is about to.
    if (isLong && this.#comingCount === 0) this.parts.shut();
    this.#waiting = this.parts.clock.after(ms, () => this.#refill());
  }

  #refill(): void {
    try {
      this.#fill();
    } catch (error) {
      if (!(error instanceof StartupError)) throw error;
      this.#refillAfter({ how: "not started", reason: error.message, livedMs: 0 });
    }
  }

  /** As in a rolling restart, but of this place alone. */
  #left(worker: WorkerProcess): void {
    if (worker === this.#leaving) return;
    this.#leaving = worker;
    this.parts.clock.after(LEAVING_MS, () => {
      if (this.#isClosed || worker !== this.#current) return;
      void this.replace().then(
        (before) => retire(before === undefined ? [] : [before], this.parts.clock),
        (error: unknown) => {
          // It stops all the same, and is replaced when it is gone.
          const reason = error instanceof Error ? error.message : String(error);
          this.parts.log.error("worker goes before another is in its place", { worker: this.number, reason });
          worker.stop();
        },
      );
    });
  }
}
