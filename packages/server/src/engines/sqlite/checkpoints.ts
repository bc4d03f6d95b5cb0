/**
 * Moves the write-ahead log into the database, in a thread: in the event loop it would stall everything for as long as the disk
 * takes (measured: 200 ms).
 *
 * While the log grows the thread copies what it can without getting in the way (PASSIVE). That alone would never empty a log that
 * is written all the time, so at a cap the commits wait, the loop goes on, and the thread copies the rest and cuts the file
 * to nothing (TRUNCATE).
 */
import type { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { Worker } from "node:worker_threads";
import type { Logger } from "../../base/log.ts";
import type { CommitGate } from "./committer.ts";

/** The log file never grows beyond this, while the disk takes what is written to it. */
export const LOG_BYTES_MAX = 64 * 1024 * 1024;

/** What one transaction may add to the log: its own bytes, and a page for every row that is deleted with it. */
const TRANSACTION_BYTES_MAX = 16 * 1024 * 1024;

const HOLD_BYTES = LOG_BYTES_MAX - TRANSACTION_BYTES_MAX;

/** The log grows by this much between two copies. */
const PASSIVE_BYTES = 8 * 1024 * 1024;

/** How much may be added before the size of the file is asked for: to ask after every commit cost as much as a small commit. */
const LOOK_BYTES = 1024 * 1024;

export type CheckpointMode = "PASSIVE" | "TRUNCATE";

export type CheckpointRequest =
  { readonly open: string } | { readonly mode: CheckpointMode } | { readonly close: true };

export interface CheckpointResult {
  /** The log could not be emptied: somebody is reading it, or the disk is full. */
  readonly fault?: string;
}

export class Checkpoints implements CommitGate {
  readonly #logPath: string;
  #worker: Worker | undefined;
  #answer: ((result: CheckpointResult) => void) | undefined;
  #running: Promise<unknown> | undefined;
  #copiedAt = 0;
  /** What the log may have grown by since its size was last asked for. */
  #unseenBytes = 0;
  #holdAt = HOLD_BYTES;
  #broken = false;

  constructor(
    readonly database: Database,
    readonly path: string,
    readonly log: Logger,
  ) {
    this.#logPath = `${path}-wal`;
  }

  committed(added: number): Promise<void> | undefined {
    this.#unseenBytes += added;
    if (this.#unseenBytes < LOOK_BYTES) return undefined;
    this.#unseenBytes = 0;
    const bytes = this.#logBytes();
    if (bytes >= this.#holdAt) return this.#run(this.#empty(this.#running));
    if (this.#running === undefined && bytes >= this.#copiedAt + PASSIVE_BYTES) {
      this.#copiedAt = bytes;
      void this.#run(this.#ask("PASSIVE"));
    }
    return undefined;
  }

  /** Remembers what the thread is doing, for who comes next and for the end. */
  async #run(work: Promise<unknown>): Promise<void> {
    this.#running = work;
    await work;
    if (this.#running === work) this.#running = undefined;
  }

  #logBytes(): number {
    return statSync(this.#logPath, { throwIfNoEntry: false })?.size ?? 0;
  }

  async #empty(before: Promise<unknown> | undefined): Promise<void> {
    await before;
    const { fault } = await this.#ask("TRUNCATE");
    const bytes = this.#logBytes();
    this.#copiedAt = 0;
    this.#holdAt = HOLD_BYTES;
    if (fault === undefined && bytes < HOLD_BYTES) return;
    // A reader from outside, or a full disk. To wait for it would stop all publishes; better a longer log, and another try.
    this.log.warn("the log cannot be emptied", { reason: fault, bytes });
    this.#copiedAt = bytes;
    this.#holdAt = bytes + TRANSACTION_BYTES_MAX;
  }

  #ask(mode: CheckpointMode): Promise<CheckpointResult> {
    if (this.#broken) return Promise.resolve(checkpoint(this.database, mode));
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#post({ mode });
    });
  }

  #post(request: CheckpointRequest): void {
    this.#worker ??= this.#start();
    post(this.#worker, request);
  }

  #start(): Worker {
    // By address and not by name, which would be looked up from the folder the server was started in.
    const worker = new Worker(new URL("./checkpoint-worker.ts", import.meta.url));
    worker.unref();
    worker.on("message", (result: CheckpointResult) => this.#answered(result));
    worker.on("error", ({ message }) => this.#fail(message));
    worker.on("exit", () => this.#fail("it ended"));
    post(worker, { open: this.path });
    return worker;
  }

  #answered(result: CheckpointResult): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.(result);
  }

  /** Without the thread the loop does it itself: slower, but the log stays under its cap. */
  #fail(message: string): void {
    if (this.#worker === undefined) return;
    this.#worker = undefined;
    this.#broken = true;
    this.log.error("the checkpoint thread failed", { reason: message });
    this.#answered({ fault: message });
  }

  /** Ends the thread; its connection is closed before. */
  async close(): Promise<void> {
    await this.#running;
    const worker = this.#worker;
    if (worker === undefined) return;
    await new Promise<void>((resolve) => {
      this.#answer = () => resolve();
      post(worker, { close: true });
    });
    this.#worker = undefined;
    await worker.terminate();
  }
}

function post(worker: Worker, request: CheckpointRequest): void {
  // A thread has no origin: that argument is for windows.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  worker.postMessage(request);
}

/** One checkpoint on this connection. */
export function checkpoint(database: Database, mode: CheckpointMode): CheckpointResult {
  try {
    const busy = database.prepare(`PRAGMA wal_checkpoint(${mode})`).values()[0]?.[0];
    return busy === 0 ? {} : { fault: "the log is in use" };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : String(error) };
  }
}
