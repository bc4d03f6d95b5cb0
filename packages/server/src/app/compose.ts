/** Composition root: configuration to running parts. The only folder that names concrete engines, protocols and transports. */
import { systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { Turn } from "../base/turn.ts";
import type { Config } from "../config/schema.ts";
import { type CoreParts, createCore } from "../core/core.ts";
import type { Settings } from "../core/settings.ts";
import type { Engine } from "../ports/engine.ts";
import { engineSettingsOf, type PreparedEngine } from "./engine.ts";
import { LiveHooks } from "./hooks.ts";
import { Trust } from "./trust.ts";

export interface Composition extends Omit<CoreParts, "reload"> {
  readonly turn: Turn;
  readonly engine: Engine;
  /** Throws `StartupError` where it cannot be done. Nothing changes before the function that it returns is called, which does it in one turn. */
  prepare(config: Config, settings: Settings): () => void;
}

/** `workers`: how many processes there are of this server. */
export function compose(
  config: Config,
  settings: Settings,
  prepared: PreparedEngine,
  log: Logger,
  workers = 1,
): Composition {
  const clock = systemClock;
  const turn = new Turn();
  const engineSettings = engineSettingsOf(config, settings);
  // Before anything is opened: keys that cannot be used keep the server from starting.
  const trust = new Trust(config, clock, log);
  let engine: Engine | undefined;
  const hooks = new LiveHooks(config, clock, log, workers);
  const core = createCore({
    settings,
    clock,
    log,
    turn,
    authority: trust,
    hooks: hooks.asked,
    openEngine: (sink) => (engine = prepared.open(engineSettings, sink)),
  });
  if (engine === undefined) throw new Error("the core has opened no engine");
  trust.fetch();
  return {
    ...core,
    engine,
    turn,
    prepare(nextConfig, nextSettings) {
      const believe = trust.prepare(nextConfig);
      return () => {
        believe();
        hooks.reload(nextConfig);
        core.reload(nextSettings);
      };
    },
    stop() {
      trust.stop();
      hooks.stop();
      core.stop();
    },
  };
}
