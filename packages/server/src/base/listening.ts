/**
 * One port, several listening sockets (SO_REUSEPORT), which the kernel gives an equal share of those who come: one for each worker, made by
 * the supervisor and kept by it, so that nobody is refused or reset while a worker is away. They wait in the queue of its socket for the next one.
 * A socket that all workers shared would serve too, but every one of them would wake for everybody who comes, and the quickest would get most.
 */
import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { addressOf, AF_INET6, BACKLOG, familyOf, type Library, openLibrary, shutListener, SOL_SOCKET } from "./libc.ts";

const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SO_REUSEADDR = 2;
const SO_REUSEPORT = 15;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

export interface SharedPort {
  readonly port: number;
  /** Descriptors of the listening sockets, one for each who is to accept. */
  readonly sockets: readonly number[];
  /** Who comes from now on is left to the other sockets, until somebody listens on this one again. */
  shut(index: number): void;
  close(): void;
}

/** The runtime's types do not know of it. */
interface Probe {
  readonly fd?: number;
  readonly port: number;
  stop(force: boolean): void;
}

/** Throws what the runtime throws where the port cannot be had. */
export function openSharedPort(hostname: string, port: number, count: number): SharedPort {
  // Bound as everybody else's port is, this one fails where somebody has the port, also if its owner would share it. It also knows which address
  // a name stands for, and takes a free port for 0. Only then it begins to share, so that at no moment the port is free.
  const address6 = /^\[(.*)\]$/.exec(hostname)?.[1];
  const probe: Probe = Bun.listen({ hostname: address6 ?? hostname, port, socket: { data: () => undefined } });
  const sockets: number[] = [];
  try {
    const library = openLibrary();
    const address = probe.fd === undefined ? undefined : addressOf(library, probe.fd);
    if (probe.fd === undefined || address === undefined) throw new Error("the runtime does not tell its socket");
    setOption(library, probe.fd, SOL_SOCKET, SO_REUSEPORT, 1);
    while (sockets.length < count) sockets.push(openSocket(library, address, probe.fd));
    return sharedPort(library, probe.port, sockets);
  } catch (error) {
    for (const socket of sockets) closeSync(socket);
    throw error;
  } finally {
    probe.stop(true);
  }
}

function sharedPort(library: Library, port: number, sockets: readonly number[]): SharedPort {
  return {
    port,
    sockets,
    shut(index) {
      const socket = sockets[index];
      if (socket !== undefined) shutListener(library, socket);
    },
    close() {
      for (const socket of sockets) closeSync(socket);
    },
  };
}

function openSocket(library: Library, address: Uint8Array, model: number): number {
  const family = familyOf(address);
  const socket = library.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) throw new Error("there is no descriptor left for a listening socket");
  try {
    setOption(library, socket, SOL_SOCKET, SO_REUSEADDR, 1);
    setOption(library, socket, SOL_SOCKET, SO_REUSEPORT, 1);
    // `::` may stand for IPv4 too, which is settled with the first bind.
    if (family === AF_INET6)
      setOption(library, socket, IPPROTO_IPV6, IPV6_V6ONLY, optionOf(library, model, IPPROTO_IPV6, IPV6_V6ONLY));
    if (library.bind(socket, ptr(address), address.length) !== 0 || library.listen(socket, BACKLOG) !== 0)
      throw new Error("the port cannot be shared");
    return socket;
  } catch (error) {
    closeSync(socket);
    throw error;
  }
}

function setOption(library: Library, socket: number, level: number, name: number, value: number): void {
  const word = new Int32Array([value]);
  if (library.setsockopt(socket, level, name, ptr(word), word.byteLength) !== 0)
    throw new Error(`option ${name} of a socket was refused`);
}

function optionOf(library: Library, socket: number, level: number, name: number): number {
  const word = new Int32Array(1);
  const length = new Uint32Array([word.byteLength]);
  if (library.getsockopt(socket, level, name, ptr(word), ptr(length)) !== 0)
    throw new Error(`option ${name} of a socket cannot be read`);
  return word[0] ?? 0;
}
