/**
 * The file in the data folder by which a running supervisor is found: `longwire reload` reads it, and a second supervisor on the same folder is refused.
 *
 * The lock is the operating system's and gone with the process, so a file that is left behind says nothing. It is never removed: whoever opened it
 * before that would hold a lock that nobody else sees.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../base/failures.ts";
import { lockFile } from "../../base/file-lock.ts";

const FILE = "supervisor.lock";

export interface RunningSupervisor {
  readonly pid: number;
  /** Its control socket. */
  readonly socket: string;
}

export interface RunFile {
  write(running: RunningSupervisor): void;
  release(): void;
}

/** Returns why the folder cannot be written. Throws `StartupError` where a supervisor runs on it. */
export function openRunFile(dataDir: string): RunFile | string {
  let file: number;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    file = openSync(join(dataDir, FILE), "a+", 0o600);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (!lockFile(file)) {
    closeSync(file);
    throw new StartupError(
      `another Longwire is running on the data folder ${dataDir}`,
      "Stop it first, or give this one a folder of its own with `dataDir`.",
    );
  }
  return {
    write(running) {
      ftruncateSync(file);
      writeSync(file, `${JSON.stringify(running)}\n`);
    },
    release() {
      ftruncateSync(file);
      closeSync(file);
    },
  };
}

/** Undefined: none runs on this folder. */
export function findSupervisor(dataDir: string): RunningSupervisor | undefined {
  let file: number;
  try {
    file = openSync(join(dataDir, FILE), "r");
  } catch {
    return undefined;
  }
  try {
    return lockFile(file) ? undefined : parse(readFileSync(file, "utf8"));
  } finally {
    closeSync(file);
  }
}

function parse(text: string): RunningSupervisor | undefined {
  try {
    const { pid, socket } = JSON.parse(text) as Partial<RunningSupervisor>;
    return typeof pid === "number" && typeof socket === "string" ? { pid, socket } : undefined;
  } catch {
    return undefined;
  }
}
