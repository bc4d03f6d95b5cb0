/**
 * Hands a listening socket on: what another server of this process listens with becomes the socket that `from` has, with all who wait in its
 * queue. So a server with a new certificate takes a port over without a moment in which nobody, or anybody else, has it. Two servers that share the port by
 * SO_REUSEPORT would let in every program of this user that asks for it too, and who waits in the queue of the one that closes is reset.
 *
 * The runtime knows its sockets by the number of their descriptor: `dup2` puts the old socket behind the new server's number, and something that never
 * happens, /dev/null, behind the old one's, so that the old server goes on with its connections and may close that number whenever it likes (Linux).
 */
import { closeSync, openSync } from "node:fs";
import { listenAgain, watchedOf } from "./accepting.ts";
import { addressOf, EPOLL_CTL_DEL, type Library, openLibrary, portOf } from "./libc.ts";

/** Why it cannot be done on this machine; undefined: it can be tried. */
export function handoverFault(): string | undefined {
  return process.platform === "linux" ? undefined : `there is no way on ${process.platform}`;
}

/**
 * Descriptors of two listening sockets; the runtime watches `to`. Returns the port. Throws where it does not work; then `from` is what it was.
 */
export function handOver(from: number, to: number): number {
  const library = openLibrary();
  const address = addressOf(library, from);
  const next = watchedOf(library, to);
  // One that accepts nobody at the moment has given a port back that the kernel had chosen.
  const port = portOf(address);
  if (address === undefined || port === undefined || port === 0) throw new Error("the listening socket has no port");
  library.epoll_ctl(next.set, EPOLL_CTL_DEL, to, null);
  // It fails where the server accepts nobody at the moment, and has to.
  library.epoll_ctl(next.set, EPOLL_CTL_DEL, from, null);
  if (library.dup2(from, to) < 0) throw new Error("dup2 refused it");
  putNothing(library, from);
  listenAgain(library, { ...next, address });
  return port;
}

/**
 * Lets go of a listening socket that other processes have too: for them nothing changes, and those who wait in its queue are theirs. The server of this
 * process goes on with its connections, those without a request among them, which its `stop` would close.
 */
export function letGo(fd: number): void {
  const library = openLibrary();
  const { set } = watchedOf(library, fd);
  library.epoll_ctl(set, EPOLL_CTL_DEL, fd, null);
  putNothing(library, fd);
}

function putNothing(library: Library, fd: number): void {
  const nothing = openSync("/dev/null", "r");
  library.dup2(nothing, fd);
  closeSync(nothing);
}
