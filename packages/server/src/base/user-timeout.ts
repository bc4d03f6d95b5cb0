/**
 * TCP_USER_TIMEOUT: after so long without an acknowledgement of what was sent the kernel gives a connection up. Without it a peer that
 * was cut off lives on in a one-way stream for a quarter of an hour. Set on a listening socket it holds for every connection that it accepts (Linux).
 *
 * The runtime has no option for it, so the C library is called. Where that does not work, nothing else fails.
 */
import { dlopen, ptr } from "bun:ffi";
import { readdirSync } from "node:fs";

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const IPPROTO_TCP = 6;
const TCP_USER_TIMEOUT = 18;
const AF_INET = 2;
const AF_INET6 = 10;
/** Of `sockaddr_in6`, the larger one. */
const ADDRESS_BYTES = 28;

export interface ListeningSocket {
  readonly port: number;
  /** Where the runtime tells it. */
  readonly fd?: number | undefined;
}

/** Returns why it could not be set; undefined: it is set. */
export function setUserTimeout(socket: ListeningSocket, timeoutMs: number): string | undefined {
  if (process.platform !== "linux") return `there is none on ${process.platform}`;
  try {
    library ??= openLibrary();
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

type Library = ReturnType<typeof load>["symbols"];

let library: Library | undefined;

function openLibrary(): Library {
  try {
    return load("libc.so.6").symbols;
  } catch {
    // Alpine's has another name.
    return load(`libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`).symbols;
  }
}

function load(name: string) {
  return dlopen(name, {
    setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  });
}

/** The runtime does not tell the descriptor of its web server: it is what listens on this port. */
function findListeners(library: Library, port: number): number[] {
  const descriptors = readdirSync("/proc/self/fd").map(Number);
  return descriptors.filter((fd) => listens(library, fd) && portOf(library, fd) === port);
}

function listens(library: Library, fd: number): boolean {
  const value = new Int32Array(1);
  const length = new Uint32Array([value.byteLength]);
  return library.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length)) === 0 && value[0] === 1;
}

function portOf(library: Library, fd: number): number | undefined {
  const address = new DataView(new ArrayBuffer(ADDRESS_BYTES));
  const length = new Uint32Array([ADDRESS_BYTES]);
  if (library.getsockname(fd, ptr(address), ptr(length)) !== 0) return undefined;
  const family = address.getUint16(0, true);
  return family === AF_INET || family === AF_INET6 ? address.getUint16(2) : undefined;
}
