/**
 * One transaction per turn of the event loop.
 *
 * Everything that one turn asks for is a task. Tasks are staged in the order of the calls inside one transaction and settled,
 * in the same order, after its commit: only then do publications reach the sink and answers their callers. If the
 * transaction fails (full disk, I/O error), it is rolled back, the tasks that had something to write fail, the others
 * are staged again without it; the next turn tries anew, so the engine recovers as soon as the disk does.
 */
import type { Database, SQLiteError } from "bun:sqlite";
import type { Clock } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";

/** Size of one transaction: some ten milliseconds of work, and a log that grows in steps far below its cap. */
const TASKS_MAX = 2_048;
const TASKS_BYTES_MAX = 4 * 1024 * 1024;

/** Rows that housekeeping may touch in one transaction, beside as many as the transaction has tasks. */
const HOUSEKEEPING_ROWS_MAX = 1_000;

/** What housekeeping may add to the log: a page for every row. */
const HOUSEKEEPING_BYTES_MAX = HOUSEKEEPING_ROWS_MAX * 4096;

/** What a task may add to the log beside its own bytes: pages that it shares with what was there. */
const TASK_PAGES_BYTES = 2 * 4096;

/** What may wait for its transaction; beyond it, publishes are refused. */
const QUEUE_BYTES_MAX = 128 * 1024 * 1024;

/** Clients that are refused because nothing can be kept should not come back at once. */
const RETRY_MS = 1_000;

export interface Task {
  /** Whether it is lost when the transaction is. */
  readonly writes: boolean;
  readonly bytes: number;
  /** Inside the transaction. A `ReplyError` must be thrown before anything is written: it fails this task alone. */
  stage(now: number): void;
  /** The transaction was rolled back. */
  undo(): void;
  /** After the commit. */
  settle(): void;
  fail(error: Error): void;
}

/** What a transaction carries along when it can: deletions of what nobody reads any more. */
export interface Housekeeping {
  /** Whether it is worth a transaction of its own. */
  readonly pressing: boolean;
  /** Whether the next transaction should take it along. */
  readonly due: boolean;
  /** `limit`: rows to be touched at most. */
  stage(now: number, limit: number): void;
  undo(): void;
  /** After each commit; `staged`: housekeeping was part of it. */
  settle(staged: boolean): void;
}

/** When commits have to wait for the log to be emptied. */
export interface CommitGate {
  /** Called after each commit, with at most what it has added to the log: a promise while the next must wait. */
  committed(bytes: number): Promise<void> | undefined;
}

/** Writes something, to see whether that works. */
class ProbeTask implements Task {
  readonly writes = true;
  readonly bytes = 0;

  constructor(readonly database: Database) {}

  stage(now: number): void {
    this.database.prepare("INSERT OR REPLACE INTO meta VALUES ('probe', ?)").run(String(now));
  }

  undo(): void {}

  settle(): void {}

  fail(): void {}
}

/** One task's fault: the transaction is made again without it. */
class TaskFault extends Error {
  constructor(
    readonly task: Task,
    readonly fault: Error,
  ) {
    super("a task cannot be stored");
  }
}

export class Committer {
  #queue: Task[] = [];
  #head = 0;
  #queuedBytes = 0;
  #scheduled = false;
  #held = false;
  #closed = false;
  #stopped = false;
  #tidy = false;
  /** Whether the last transaction had housekeeping in it. */
  #housekept = false;
  #fault: string | undefined;
  #idle: (() => void)[] = [];
  readonly #begin;
  readonly #commit;
  readonly #rollback;

  constructor(
    readonly database: Database,
    readonly housekeeping: Housekeeping,
    readonly gate: CommitGate,
    readonly clock: Clock,
    readonly log: Logger,
  ) {
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
  }

  /** Why nothing can be kept, or undefined. */
  get fault(): string | undefined {
    return this.#fault;
  }

  get empty(): boolean {
    return this.#head === this.#queue.length;
  }

  add(task: Task): void {
    if (this.#closed) {
      task.fail(new ReplyError("unavailable", "the server is stopping"));
      return;
    }
    if (this.#queuedBytes + task.bytes > QUEUE_BYTES_MAX && !this.empty) {
      task.fail(new ReplyError("unavailable", "more is published than the disk takes", RETRY_MS));
      return;
    }
    this.#queue.push(task);
    this.#queuedBytes += task.bytes;
    this.schedule();
  }

  /** Carries out a task that has nothing to write, at once; only good while none waits. */
  read(task: Task): void {
    if (this.#closed) task.fail(new ReplyError("unavailable", "the server is stopping"));
    else this.#withoutTransaction([task], this.clock.now());
  }

  /** While nothing can be kept: tries. A node that says it is not ready gets no publishes that would find out. */
  probe(): void {
    if (this.#fault !== undefined) this.add(new ProbeTask(this.database));
  }

  /** Makes a transaction at the end of this turn, for tasks or pressing housekeeping. */
  schedule(): void {
    if (this.#scheduled || this.#held) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  /** Makes a transaction for housekeeping, whether it is pressing or not. */
  tidy(): void {
    this.#tidy = true;
    this.schedule();
  }

  /** Refuses further tasks; resolves when those accepted are settled. */
  async close(): Promise<void> {
    this.#closed = true;
    if (!this.empty) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#stopped = true;
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    if (this.#stopped) return;
    const tasks = this.#take();
    const committed = this.#transact(tasks, this.clock.now());
    if (committed) this.#wait(tasks);
    if (!this.empty || (committed && this.housekeeping.pressing)) this.schedule();
    if (this.empty) for (const resolve of this.#idle.splice(0)) resolve();
  };

  #wait(tasks: readonly Task[]): void {
    let bytes = this.#housekept ? HOUSEKEEPING_BYTES_MAX : 0;
    for (const task of tasks) bytes += task.bytes + TASK_PAGES_BYTES;
    const gate = this.gate.committed(bytes);
    if (gate === undefined) return;
    this.#held = true;
    void gate.then(() => {
      this.#held = false;
      this.schedule();
    });
  }

  #take(): Task[] {
    let bytes = 0;
    let end = this.#head;
    while (end < this.#queue.length && end - this.#head < TASKS_MAX && bytes < TASKS_BYTES_MAX) {
      bytes += (this.#queue[end] as Task).bytes;
      end++;
    }
    const tasks = this.#queue.slice(this.#head, end);
    this.#queuedBytes -= bytes;
    this.#head = end;
    if (this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    return tasks;
  }

  /** Returns whether something was committed. */
  #transact(tasks: readonly Task[], now: number): boolean {
    if (!this.#tidy && !this.housekeeping.pressing && !tasks.some((task) => task.writes)) {
      this.#withoutTransaction(tasks, now);
      return false;
    }
    try {
      this.#begin.run();
      const refusals = this.#stage(tasks, now);
      this.#housekept = this.#tidy || this.housekeeping.due;
      // As many as are added go as well, so that trims keep up with any rate.
      if (this.#housekept) this.housekeeping.stage(now, HOUSEKEEPING_ROWS_MAX + tasks.length);
      this.#commit.run();
      this.#tidy = false;
      this.#recovered();
      this.housekeeping.settle(this.#housekept);
      this.#finish(tasks, refusals);
      return true;
    } catch (error) {
      this.#undo(tasks);
      if (error instanceof TaskFault) {
        const { task, fault } = error;
        task.fail(fault);
        const others = tasks.filter((one) => one !== task);
        return this.#transact(others, now);
      }
      this.#failed(tasks, now, error);
      return false;
    }
  }

  /** Returns the tasks that were refused, with their refusals. */
  #stage(tasks: readonly Task[], now: number): Map<Task, ReplyError> {
    const refusals = new Map<Task, ReplyError>();
    for (const task of tasks) {
      try {
        task.stage(now);
      } catch (error) {
        if (error instanceof ReplyError) refusals.set(task, error);
        else if (isStorageFault(error)) throw error;
        else throw new TaskFault(task, unstorable(error));
      }
    }
    return refusals;
  }

  #finish(tasks: readonly Task[], refusals: ReadonlyMap<Task, ReplyError>): void {
    for (const task of tasks) {
      const refusal = refusals.size === 0 ? undefined : refusals.get(task);
      if (refusal === undefined) this.#settle(task);
      else task.fail(refusal);
    }
  }

  #settle(task: Task): void {
    try {
      task.settle();
    } catch (error) {
      // Committed is committed: a sink that breaks its promise not to throw must not take the answers of others along.
      this.log.error("delivery failed", { error });
    }
  }

  /** For tasks that have nothing to write: each stands alone. */
  #withoutTransaction(tasks: readonly Task[], now: number): void {
    for (const task of tasks) {
      try {
        task.stage(now);
      } catch (error) {
        task.fail(isStorageFault(error) ? new ReplyError("unavailable", reasonOf(error), RETRY_MS) : unstorable(error));
        continue;
      }
      this.#settle(task);
    }
  }

  #undo(tasks: readonly Task[]): void {
    // SQLite has rolled back by itself after some failures.
    if (this.database.inTransaction) this.#rollback.run();
    // Backwards, as each remembers what it found, which may be what the one before it left.
    for (const task of tasks.toReversed()) task.undo();
    this.housekeeping.undo();
  }

  #failed(tasks: readonly Task[], now: number, error: unknown): void {
    const storage = isStorageFault(error);
    const reason = storage ? reasonOf(error) : "the database cannot be written";
    if (this.#fault === undefined || !storage) this.log.error("nothing can be kept", { reason, error });
    this.#fault = reason;
    this.#tidy = false;
    for (const task of tasks) if (task.writes) task.fail(new ReplyError("unavailable", reason, RETRY_MS));
    this.#withoutTransaction(
      tasks.filter((task) => !task.writes),
      now,
    );
  }

  #recovered(): void {
    if (this.#fault === undefined) return;
    this.log.info("publications are kept again", { after: this.#fault });
    this.#fault = undefined;
  }
}

const STORAGE_FAULTS =
  /^SQLITE_(FULL|IOERR|BUSY|LOCKED|READONLY|CORRUPT|CANTOPEN|NOMEM|NOTADB|PROTOCOL|PERM|AUTH|NOLFS)/;

function isStorageFault(error: unknown): error is SQLiteError {
  return error instanceof Error && "code" in error && STORAGE_FAULTS.test(String(error.code));
}

/** Why the disk would not take it, in words that may go to clients: no path, no text of the system. */
function reasonOf(error: SQLiteError): string {
  const code = String(error.code);
  if (code.startsWith("SQLITE_FULL")) return "the disk is full";
  return `the database cannot be written (${code})`;
}

function unstorable(error: unknown): Error {
  if (error instanceof Error && "code" in error && error.code === "SQLITE_TOOBIG") return new ReplyError("tooLarge");
  return error instanceof Error ? error : new Error(String(error));
}
