/**
 * Stops accepting for a while, and goes on. With no descriptor left the runtime would spin: the kernel goes on saying that somebody waits, and
 * every attempt to accept fails (measured: a whole core). It has no way to pause; closing the port and opening another server in its place would
 * part the topics. So the listening socket is taken out of the runtime's epoll set and shut down, which on Linux is no end for a listening socket: whoever
 * knocks is refused at once instead of waiting for an answer that does not come, and `listen` makes it what it was.
 */
import { ptr } from "bun:ffi";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import {
  addressOf,
  BACKLOG,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  findListeners,
  type Library,
  openLibrary,
  portOf,
  shutListener,
} from "./libc.ts";
import type { ListeningSocket } from "./user-timeout.ts";

/** A listening socket as the runtime has it. */
export interface Watched {
  readonly fd: number;
  /** Descriptor of the epoll set in which the runtime has it, and what stands there. */
  readonly set: number;
  readonly event: Uint8Array;
  readonly address: Uint8Array;
}

export interface Accepting {
  /** Those who come from now on, and those not yet accepted, are refused by the kernel. */
  pause(): void;
  /** Throws where a port cannot be had any more. */
  resume(): void;
}

/** Returns why it cannot be done on this machine. */
export function acceptingOf(sockets: readonly ListeningSocket[]): Accepting | string {
  if (process.platform !== "linux") return `there is no way on ${process.platform}`;
  try {
    const library = openLibrary();
    const watched = sockets.flatMap(({ fd, port }) =>
      (fd === undefined ? findListeners(library, port) : [fd]).map((one) => watchedOf(library, one)),
    );
    return {
      pause() {
        for (const { fd, set } of watched) {
          library.epoll_ctl(set, EPOLL_CTL_DEL, fd, null);
          shutListener(library, fd);
        }
      },
      resume() {
        for (const one of watched) listenAgain(library, one);
      },
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What is listening already goes on. */
export function listenAgain(library: Library, { fd, set, event, address }: Watched): void {
  // A port that the kernel had chosen is given back by the shutdown.
  if (portOf(addressOf(library, fd)) !== portOf(address)) library.bind(fd, ptr(address), address.length);
  if (library.listen(fd, BACKLOG) !== 0) throw new Error(`port ${portOf(address)} cannot be had again`);
  library.epoll_ctl(set, EPOLL_CTL_ADD, fd, ptr(event));
}

export function watchedOf(library: Library, fd: number): Watched {
  const address = addressOf(library, fd);
  if (address === undefined) throw new Error("the listening socket has no address");
  for (const set of epollSets()) {
    // proc(5): the events and the data that the runtime gave, in hexadecimal.
    const line = new RegExp(`^tfd:\\s+${fd} events:\\s+([0-9a-f]+) data:\\s+([0-9a-f]+)`, "m");
    const found = line.exec(readFileSync(`/proc/self/fdinfo/${set}`, "utf8"));
    if (found !== null) return { fd, set, address, event: eventOf(`0x${found[1]}`, `0x${found[2]}`) };
  }
  throw new Error("the runtime does not watch it by epoll");
}

function epollSets(): number[] {
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).includes("[eventpoll]");
      } catch {
        // The descriptor with which the folder was read.
        return false;
      }
    });
}

/** `struct epoll_event`, packed on x86-64 alone. */
function eventOf(events: string, data: string): Uint8Array {
  const dataAt = process.arch === "x64" ? 4 : 8;
  const view = new DataView(new ArrayBuffer(dataAt + 8));
  view.setUint32(0, Number(events), true);
  view.setBigUint64(dataAt, BigInt(data), true);
  return new Uint8Array(view.buffer);
}
