/** A folder that only this user can look into, for the supervisor's sockets. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { StartupError } from "../../base/failures.ts";

const PREFIX = "longwire-workers-";

/** The kernel takes paths of sockets up to 107 bytes. Behind the folder's own comes at most this. */
const FOLDER_BYTES_MAX = 80;

/** Throws `StartupError`. */
export function makePrivateFolder(): string {
  const own = join(tmpdir(), PREFIX);
  try {
    // mkdtemp adds six characters, and lets nobody else in.
    return mkdtempSync(Buffer.byteLength(own) + 6 <= FOLDER_BYTES_MAX ? own : `/tmp/${PREFIX}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(
      `workers: there is no place for their sockets: ${reason}`,
      "set TMPDIR to a folder this user may write to",
    );
  }
}

/** What a supervisor that was killed has left: the folder of this socket, if it is one of ours. */
export function removeLeftFolder(socket: string): void {
  const folder = dirname(socket);
  if (basename(folder).startsWith(PREFIX)) rmSync(folder, { recursive: true, force: true });
}
