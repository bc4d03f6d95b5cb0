/** Capacity: how many clients this machine has room for, found out at the start and watched over. */
import { acceptingOf } from "../base/accepting.ts";
import type { Clock } from "../base/clock.ts";
import { descriptorLimit } from "../base/descriptors.ts";
import { StartupError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import { LoopLag } from "../base/loop-lag.ts";
import { memoryLimitBytes } from "../base/memory-limit.ts";
import type { ListeningSocket } from "../base/user-timeout.ts";
import type { Config } from "../config/schema.ts";
import { forwardedReader } from "../transports/client-address.ts";
import { Admission } from "./admission.ts";
import { DescriptorWatch, type Marks, marksOf } from "./descriptor-watch.ts";
import type { Door } from "./door.ts";

/** Where the limit of descriptors cannot be read. */
const CONNECTIONS_UNKNOWN = 10_000;

const MEMORY_SHARE = 0.8;

export interface Capacity {
  readonly door: Door & { readonly admission: Admission };
  /** What stands in the log at the start. */
  readonly shown: {
    readonly connectionsMax: number;
    readonly memoryBytesMax: number;
    readonly descriptors: number | undefined;
  };
  /** Other limits and proxies: `door` is another one from now on. */
  reload(config: Config): void;
  /** From now on the server stops accepting on these sockets when descriptors run out. */
  watch(sockets: readonly ListeningSocket[]): void;
  /**
   * All sockets accept: to be called before any of them is handed on, since of one that does not nobody else finds out how it was. Throws
   * `StartupError` where that cannot be; then nothing has changed.
   */
  unwatch(): void;
  stop(): void;
}

/** `workers`: how many processes there are of this server; each has its share of what is configured for it (SPEC.md, WK-8). */
export function capacityOf(
  config: Config,
  connections: () => number,
  clock: Clock,
  log: Logger,
  workers = 1,
): Capacity {
  const descriptors = descriptorLimit();
  const marks = descriptors === undefined ? undefined : marksOf(descriptors);
  const lag = new LoopLag(clock);
  const doorOf = (current: Config): Pick<Capacity, "door" | "shown"> => {
    // What a process has descriptors for is its own.
    const connectionsMax =
      current.connectionsMax === undefined
        ? (marks?.connections ?? CONNECTIONS_UNKNOWN)
        : Math.ceil(current.connectionsMax / workers);
    const memoryBytesMax = Math.floor((current.memoryBytesMax ?? memoryLimitBytes() * MEMORY_SHARE) / workers);
    const { handshakesPerSecond, loopLagMsMax, trustedProxies, forwardedHeader } = current;
    if (marks !== undefined && connectionsMax > marks.connections) {
      log.warn("more connections than descriptors", { connectionsMax, descriptors, room: marks.connections });
    }
    const admission = new Admission({
      clock,
      log,
      connections,
      connectionsMax,
      handshakesPerSecond: handshakesPerSecond === "off" ? Infinity : Math.ceil(handshakesPerSecond / workers),
      lagMs: () => lag.ms(),
      loopLagMsMax: loopLagMsMax === "off" ? Infinity : loopLagMsMax,
      memoryBytes: () => process.memoryUsage.rss(),
      memoryBytesMax,
      collect: () => Bun.gc(false),
    });
    return {
      door: { clock, admission, forwarded: forwardedReader(trustedProxies, forwardedHeader, log) },
      shown: { connectionsMax, memoryBytesMax, descriptors },
    };
  };
  let current = doorOf(config);
  let watch: DescriptorWatch | undefined;
  return {
    get door() {
      return current.door;
    },
    get shown() {
      return current.shown;
    },
    reload(next) {
      current = doorOf(next);
    },
    watch(sockets) {
      watch?.stop();
      watch = marks && watchOf(marks, sockets, clock, log);
    },
    unwatch() {
      try {
        watch?.release();
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new StartupError(`the server accepts nobody, and cannot go on yet: ${reason}`, "reload again later");
      }
      watch = undefined;
    },
    stop() {
      watch?.stop();
      lag.stop();
    },
  };
}

function watchOf(
  marks: Marks,
  sockets: readonly ListeningSocket[],
  clock: Clock,
  log: Logger,
): DescriptorWatch | undefined {
  const accepting = acceptingOf(sockets);
  if (typeof accepting !== "string") return new DescriptorWatch(marks, accepting, clock, log);
  log.warn("cannot stop accepting when descriptors run out", { reason: accepting });
  return undefined;
}
