/** Composition root: configuration to running parts. The only folder that names concrete engines, protocols and transports. */
import { configuredKeys } from "../auth/configured-keys.ts";
import { fetchKeySet } from "../auth/jwks.ts";
import { jwtAuthority } from "../auth/jwt.ts";
import { PublishedKeys } from "../auth/key-set.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { Turn } from "../base/turn.ts";
import type { Config } from "../config/schema.ts";
import { channelOptions } from "../core/channel-options.ts";
import { type CoreParts, createCore } from "../core/core.ts";
import type { Settings } from "../core/settings.ts";
import { openMemoryEngine } from "../engines/memory/engine.ts";
import { openSqliteEngine } from "../engines/sqlite/engine.ts";
import type { Sink } from "../ports/broker.ts";
import type { Engine, EngineSettings } from "../ports/engine.ts";
import { openHooks } from "./hooks.ts";

export interface Composition extends CoreParts {
  readonly turn: Turn;
  readonly engine: Engine;
}

export function compose(config: Config, settings: Settings, log: Logger): Composition {
  const clock = systemClock;
  const turn = new Turn();
  const engineSettings: EngineSettings = {
    retentionOf(channel) {
      const { historySize, historyMs } = channelOptions(settings, channel);
      return { size: historySize, ttlMs: historyMs };
    },
    idempotencyMs: config.idempotencySeconds * 1000,
    positionTtlMs: config.positionTtlSeconds * 1000,
  };
  const open = (sink: Sink): Engine =>
    config.engine === "memory"
      ? openMemoryEngine(engineSettings, sink, clock)
      : openSqliteEngine({ dataDir: config.dataDir, sync: config.sync }, engineSettings, sink, clock, log);
  const published = publishedKeys(config, clock, log);
  // Before anything is opened: keys that cannot be used keep the server from starting.
  const keys = configuredKeys(config.tokenSecret, config.tokenKeys);
  let engine: Engine | undefined;
  const hooks = openHooks(config, clock, log);
  const core = createCore({
    settings,
    clock,
    log,
    turn,
    authority: jwtAuthority({
      keys,
      published,
      clock,
      audience: config.tokenAudience,
      issuer: config.tokenIssuer,
    }),
    hooks: hooks.hooks,
    openEngine: (sink) => (engine = open(sink)),
  });
  if (engine === undefined) throw new Error("the core has opened no engine");
  // So that the first clients need not wait for it.
  void published?.ready();
  return {
    ...core,
    engine,
    turn,
    stop() {
      published?.stop();
      hooks.stop();
      core.stop();
    },
  };
}

function publishedKeys({ jwksUrl, jwksCacheSeconds }: Config, clock: Clock, log: Logger): PublishedKeys | undefined {
  if (jwksUrl === undefined) return undefined;
  const fetchText = (signal: AbortSignal): Promise<string> => fetchKeySet(jwksUrl, signal);
  return new PublishedKeys({ fetchText, cacheMs: jwksCacheSeconds * 1000, clock, log });
}
