/** The few functions of the C library that the runtime has no other way to (Linux). Loaded when first used; throws where that fails. */
import { dlopen, ptr } from "bun:ffi";
import { readdirSync } from "node:fs";

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;

export const SOL_SOCKET = 1;
/** How many may wait to be accepted (of which the kernel takes `somaxconn` at most). A storm of clients overflows a short queue, and who does not fit comes again a second later. */
export const BACKLOG = 4096;
export const AF_INET6 = 10;

const SHUT_RD = 0;
const SO_ACCEPTCONN = 30;
const AF_INET = 2;
/** Of `sockaddr_in6`, the larger one. */
const ADDRESS_BYTES = 28;

export type Library = ReturnType<typeof load>["symbols"];

let library: Library | undefined;

export function openLibrary(): Library {
  return (library ??= loadAny());
}

function loadAny(): Library {
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
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    listen: { args: ["i32", "i32"], returns: "i32" },
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    flock: { args: ["i32", "i32"], returns: "i32" },
    shutdown: { args: ["i32", "i32"], returns: "i32" },
    dup2: { args: ["i32", "i32"], returns: "i32" },
    epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  });
}

/** The runtime does not tell the descriptor of its web server: it is what listens on this port. */
export function findListeners(library: Library, port: number): number[] {
  const descriptors = readdirSync("/proc/self/fd").map(Number);
  return descriptors.filter((fd) => listens(library, fd) && portOf(addressOf(library, fd)) === port);
}

function listens(library: Library, fd: number): boolean {
  const value = new Int32Array(1);
  const length = new Uint32Array([value.byteLength]);
  return library.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ptr(value), ptr(length)) === 0 && value[0] === 1;
}

/**
 * The kernel refuses who comes, until somebody listens on the socket again. One that does not listen is left alone: a second shutdown would stick to
 * it, and all that it accepted later would be at their end when they begin (measured).
 */
export function shutListener(library: Library, fd: number): void {
  if (listens(library, fd)) library.shutdown(fd, SHUT_RD);
}

/** The socket's own address as the kernel writes it. */
export function addressOf(library: Library, fd: number): Uint8Array | undefined {
  const address = new Uint8Array(ADDRESS_BYTES);
  const length = new Uint32Array([ADDRESS_BYTES]);
  if (library.getsockname(fd, ptr(address), ptr(length)) !== 0) return undefined;
  return address.subarray(0, length[0]);
}

export function portOf(address: Uint8Array | undefined): number | undefined {
  if (address === undefined) return undefined;
  const family = familyOf(address);
  const view = new DataView(address.buffer, address.byteOffset);
  return family === AF_INET || family === AF_INET6 ? view.getUint16(2) : undefined;
}

export function familyOf(address: Uint8Array): number {
  return new DataView(address.buffer, address.byteOffset).getUint16(0, true);
}
