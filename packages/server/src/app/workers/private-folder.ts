/** A folder that only this user can look into, for the supervisor's sockets. */
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import { lockFile } from "../../base/file-lock.ts";

const PREFIX = "longwire-workers-";
const LOCK = "lock";

/** The kernel takes paths of sockets up to 107 bytes. Behind the folder's own comes at most this. */
const FOLDER_BYTES_MAX = 80;

/** One without a lock file that is no older is being made. */
const NEW_MS = 600_000;

export interface PrivateFolder {
  readonly path: string;
  remove(): void;
}

/** Throws `StartupError`. */
export function makePrivateFolder(clock: Pick<Clock, "now">): PrivateFolder {
  const own = join(tmpdir(), PREFIX);
  const prefix = Buffer.byteLength(own) + 6 <= FOLDER_BYTES_MAX ? own : `/tmp/${PREFIX}`;
  try {
    removeLeft(dirname(prefix), clock.now());
    const { path, lock } = makeLocked(prefix);
    return {
      path,
      remove() {
        rmSync(path, { recursive: true, force: true });
        closeSync(lock);
      },
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const advice = "set TMPDIR to a folder this user may write to";
    throw new StartupError(`workers: there is no place for their sockets: ${reason}`, advice);
  }
}

/** Another supervisor that starts may take it for one that was left behind, before it is locked: then there is another. */
function makeLocked(prefix: string): { readonly path: string; readonly lock: number } {
  // mkdtemp adds six characters, and lets nobody else in.
  const path = mkdtempSync(prefix);
  const lock = openSync(join(path, LOCK), "w", 0o600);
  if (lockFile(lock) && existsSync(join(path, LOCK))) return { path, lock };
  closeSync(lock);
  return makeLocked(prefix);
}

/** What supervisors that were killed have left. */
function removeLeft(folder: string, now: number): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith(PREFIX)) removeIfLeft(join(folder, name), now);
  }
}

function removeIfLeft(path: string, now: number): void {
  let lock: number | undefined;
  try {
    lock = openSync(join(path, LOCK), "r");
    // Held until it is gone: whoever has just made it is to see that.
    if (lockFile(lock)) rmSync(path, { recursive: true, force: true });
  } catch (error) {
    // Another user's is not ours to look into.
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || (ageOf(path, now) ?? 0) <= NEW_MS) return;
    rmSync(path, { recursive: true, force: true });
  } finally {
    if (lock !== undefined) closeSync(lock);
  }
}

function ageOf(path: string, now: number): number | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats && now - stats.mtimeMs;
}
