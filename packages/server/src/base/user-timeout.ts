/**
 * TCP_USER_TIMEOUT: after so long without an acknowledgement of what was sent the kernel gives a connection up. Without it a peer that
 * was cut off lives on in a one-way stream for a quarter of an hour. Set on a listening socket it holds for every connection that it accepts (Linux).
 *
 * The runtime has no option for it, so the C library is called. Where that does not work, nothing else fails.
 */
import { ptr } from "bun:ffi";
import { findListeners, openLibrary } from "./libc.ts";

const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;

export interface ListeningSocket {
  readonly port: number;
  /** Where the runtime tells it. */
  readonly fd?: number | undefined;
}

/** Returns why it could not be set; undefined: it is set. */
export function setUserTimeout(socket: ListeningSocket, timeoutMs: number): string | undefined {
  if (process.platform !== "linux") return `there is none on ${process.platform}`;
  try {
    const library = openLibrary();
    const { setsockopt } = library;
    const found = socket.fd === undefined ? findListeners(library, socket.port) : [socket.fd];
    if (found.length === 0) return "the listening socket was not found";
    const value = new Int32Array([timeoutMs]);
    const failed = found.some(
      (fd) => setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ptr(value), value.byteLength) !== 0,
    );
    return failed ? "setsockopt refused it" : undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
