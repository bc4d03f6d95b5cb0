/**
 * The workers of a server in a process of its own.
 *
 *     const pids = workersOf(server.pid);
 *     process.kill(pids[0], "SIGKILL");
 *     await untilReplaced(server, [pids[0]]);
 *     markOf(client.session);                  // equal for sessions of one worker
 */
import { readFileSync } from "node:fs";
import type { ServerProcess } from "./server-process.ts";

const WAIT_MS = 60_000;

/** Process ids of its children, in the order in which they were started. */
export function workersOf({ pid }: Pick<ServerProcess, "pid">): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    // It is gone, and has none.
    return [];
  }
}

/** Of the process that made a session. */
export function markOf(session: string): string {
  return session.slice(-6);
}

export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(10);
  }
}

/** Entries of the server's log with this message. */
export function entriesOf(server: Pick<ServerProcess, "output">, message: string): Record<string, unknown>[] {
  const lines = server.output().split("\n");
  return lines
    .filter((line) => line.includes(`"msg":"${message}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
