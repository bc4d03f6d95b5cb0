/** The thread of `checkpoints.ts`: a connection of its own that does nothing but checkpoints. */
import { Database } from "bun:sqlite";
import { parentPort } from "node:worker_threads";
import { checkpoint, type CheckpointRequest, type CheckpointResult } from "./checkpoints.ts";

/** How long an emptying waits for readers. */
const BUSY_MS = 2_000;

let database: Database | undefined;

function perform(request: CheckpointRequest): CheckpointResult | undefined {
  if ("open" in request) {
    database = new Database(request.open, { readwrite: true });
    database.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
    // This connection commits nothing: what it syncs is the log before, and the database after a checkpoint.
    database.run("PRAGMA synchronous = NORMAL");
    return undefined;
  }
  if ("close" in request) {
    database?.close(true);
    return {};
  }
  if (database === undefined) return { fault: "the database is not open" };
  return checkpoint(database, request.mode);
}

parentPort?.on("message", (request: CheckpointRequest) => {
  const result = perform(request);
  // A thread has no origin: that argument is for windows.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  if (result !== undefined) parentPort?.postMessage(result);
});
