/**
 * Engine `redis`: what is kept is in Redis, for all processes that use the same one with the same prefix.
 *
 * Its parts share one link. Redis can be away at any time: what is asked of the broker and the state store is `unavailable` then, presence is put
 * right afterwards, and whoever was away for longer than its lease begins anew.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { ReplyError, StartupError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import type { Sink } from "../../ports/broker.ts";
import type { Engine, EngineSettings } from "../../ports/engine.ts";
import { RedisBroker } from "./broker.ts";
import { LEASE_TIMES, type LeaseTimes } from "./lease.ts";
import type { Link, LinkSettings } from "./link.ts";
import { openLink } from "./link-open.ts";
import { Peer } from "./peer.ts";
import { RedisState } from "./state.ts";

export interface RedisOptions extends Omit<LinkSettings, "ca"> {
  /** File with the authority of Redis's certificate. */
  readonly caFile: string | undefined;
  readonly times?: LeaseTimes;
}

export interface ConnectedRedis {
  /** Called once. */
  open(settings: EngineSettings, sink: Sink): Engine;
  /** Instead of `open`. */
  abandon(): Promise<void>;
}

/** Resolves when Redis can be used and the other processes know of this one. Rejects with `StartupError`. */
export async function connectRedisEngine(options: RedisOptions, clock: Clock, log: Logger): Promise<ConnectedRedis> {
  const { caFile, times = LEASE_TIMES, ...given } = options;
  const rest = { ...given, prefix: prefixOf(given) };
  const link = await openLink({ settings: { ...rest, ca: readCa(caFile) }, clock, log });
  const peer = await joined(link, () => Peer.join({ link, prefix: rest.prefix, times, clock, log }));
  const leave = async (): Promise<void> => {
    await peer.close();
    await link.close();
  };
  return {
    open(settings, sink) {
      const { prefix, waitReplicas } = rest;
      const { self: mark } = peer.bus;
      const broker = new RedisBroker({ link, settings, sink, clock, log, prefix, mark, waitReplicas });
      return {
        broker,
        presence: peer.open(sink),
        state: new RedisState(link, prefix, settings.positionTtlMs),
        bus: peer.bus,
        health: () => (link.fault === undefined ? { ready: true } : { ready: false, reason: link.fault }),
        async close() {
          broker.close();
          await leave();
        },
      };
    },
    abandon: leave,
  };
}

async function joined(link: Link, join: () => Promise<Peer>): Promise<Peer> {
  try {
    return await join();
  } catch (error) {
    await link.close();
    if (!(error instanceof ReplyError)) throw error;
    throw new StartupError(`Redis went away during the start: ${error.message}`, "start again when it is back");
  }
}

/** Pub/sub knows no databases: with the same prefix, gateways of two of them would hear each other's messages, and answer each other's questions. */
function prefixOf({ prefix, database }: Pick<RedisOptions, "prefix" | "database">): string {
  return database === 0 ? prefix : `${prefix}@${database}`;
}

function readCa(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`redisCa: the file cannot be read: ${reason}`, "name a file with certificates in PEM text");
  }
}
