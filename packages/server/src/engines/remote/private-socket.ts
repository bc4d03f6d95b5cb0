/** A Unix socket that nobody but this user reaches: whoever can talk to it can publish and read everything. */
import type { SocketHandler, UnixSocketListener } from "bun";
import { chmodSync, mkdirSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { StartupError } from "../../base/failures.ts";

/** What the kernel takes (unix(7)), less the byte that ends it. */
const PATH_BYTES_MAX = 107;

/** Throws `StartupError`. What a supervisor has left behind that was killed is taken away. */
export function listenPrivately<Data>(path: string, socket: SocketHandler<Data>): UnixSocketListener<Data> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
    throw new StartupError(`the path of a socket cannot be as long as ${path}`, "Choose a shorter data folder.");
  }
  try {
    prepareFolder(dirname(path));
    rmSync(path, { force: true });
    const listener = Bun.listen<Data>({ unix: path, socket });
    chmodSync(path, 0o600);
    return listener;
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`no socket for workers can be opened at ${path}: ${reason}`, "Look at the folder's rights.");
  }
}

/** Between the making of a socket and its mode others could come in, so the folder itself is closed to them. */
function prepareFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { mode, uid } = statSync(folder);
  if ((mode & 0o077) === 0 && uid === process.getuid?.()) return;
  throw new StartupError(
    `the folder ${folder} of the workers' socket can be entered by others`,
    "It must belong to the user of the server, with mode 0700.",
  );
}
