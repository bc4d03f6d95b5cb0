/** Which engine keeps things, and what has to be reached before it can be opened. */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import { channelOptions } from "../core/channel-options.ts";
import type { Settings } from "../core/settings.ts";
import { openMemoryEngine } from "../engines/memory/engine.ts";
import { connectRedisEngine, type RedisOptions } from "../engines/redis/engine.ts";
import { openSqliteEngine } from "../engines/sqlite/engine.ts";
import type { Sink } from "../ports/broker.ts";
import type { Engine, EngineSettings } from "../ports/engine.ts";

export interface PreparedEngine {
  /** Called once. Throws `StartupError`. */
  open(settings: EngineSettings, sink: Sink): Engine;
  /** Instead of `open`. */
  abandon(): Promise<void>;
}

/** `settings`: the record of which a reload assigns the fields. */
export function engineSettingsOf(config: Config, settings: Settings): EngineSettings {
  return {
    retentionOf(channel) {
      const { historySize, historyMs } = channelOptions(settings, channel);
      return { size: historySize, ttlMs: historyMs };
    },
    idempotencyMs: config.idempotencySeconds * 1000,
    positionTtlMs: config.positionTtlSeconds * 1000,
  };
}

/** Rejects with `StartupError` where what the engine needs cannot be reached. */
export function prepareEngine(config: Config, clock: Clock, log: Logger): Promise<PreparedEngine> {
  const { engine, dataDir, sync } = config;
  if (engine === "redis") return connectRedisEngine(redisOptionsOf(config), clock, log);
  return Promise.resolve({
    open: (settings, sink) =>
      engine === "memory"
        ? openMemoryEngine(settings, sink, clock)
        : openSqliteEngine({ dataDir, sync }, settings, sink, clock, log),
    abandon: () => Promise.resolve(),
  });
}

function redisOptionsOf(config: Config): RedisOptions {
  return {
    mode: config.redisMode,
    urls: config.redisUrls,
    master: config.redisMaster,
    user: config.redisUser,
    password: config.redisPassword,
    sentinelUser: config.redisSentinelUser,
    sentinelPassword: config.redisSentinelPassword,
    database: config.redisDatabase,
    caFile: config.redisCa,
    prefix: config.redisPrefix,
    waitReplicas: config.redisWaitReplicas,
  };
}
