/** The engine that the workers share, and the socket at which it is served. With Redis they share nothing here: each goes there itself. */
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import type { Config } from "../../config/schema.ts";
import { channelOptions } from "../../core/channel-options.ts";
import type { Settings } from "../../core/settings.ts";
import { serveEngine } from "../../engines/remote/server.ts";
import { engineSettingsOf, prepareEngine } from "../engine.ts";

export interface EngineHost {
  /** Undefined: workers open their own. */
  readonly socket: string | undefined;
  reload(settings: Settings): void;
  close(): Promise<void>;
}

/** `stuck`: the worker with this process id has to be ended. Rejects with `StartupError`. */
export async function openEngineHost(
  config: Config,
  settings: Settings,
  folder: string,
  log: Logger,
  stuck: (pid: number, reason: string) => void,
): Promise<EngineHost> {
  if (config.engine === "redis") {
    return { socket: undefined, reload: () => undefined, close: () => Promise.resolve() };
  }
  const prepared = await prepareEngine(config, systemClock, log);
  const socket = join(folder, "engine");
  const server = serveEngine(socket, {
    open: (sink) => prepared.open(engineSettingsOf(config, settings), sink),
    clock: systemClock,
    log,
    leaveDelayOf: (channel) => channelOptions(settings, channel).leaveDelayMs,
    onStuck: ({ pid }, reason) => stuck(pid, reason),
  });
  return {
    socket,
    reload: (next) => void Object.assign(settings, next),
    close: () => server.close(),
  };
}
