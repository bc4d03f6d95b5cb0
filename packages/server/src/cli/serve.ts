import { closeSync, openSync } from "node:fs";
import { type RunningGateway, startGateway } from "../app/serve.ts";
import { startSupervisor, workersOf } from "../app/supervisor.ts";
import { WORKER_ENVIRONMENT } from "../app/workers/messages.ts";
import { runWorker } from "../app/workers/worker.ts";
import { systemClock } from "../base/clock.ts";
import { StartupError } from "../base/failures.ts";
import { createLogger, type LeveledLogger } from "../base/log.ts";
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { ConfigError } from "../config/setting.ts";
import { type Command, EXIT } from "./command.ts";
import { createSignalHandler } from "./signals.ts";

export const serve: Command = {
  help: `longwire serve [flags]

Runs the gateway until SIGTERM or SIGINT, which lets clients take what is queued for them; a second signal waits for nobody,
a third stops at once. SIGHUP reads configuration and certificate again.
Without any configuration it serves this machine on port 8080, keeps its data in ./data and makes an API key.

  longwire serve
  longwire serve --port 9000 --data-dir /var/lib/longwire
  longwire serve --config /etc/longwire.toml --log-level debug
  longwire serve --workers auto
  LONGWIRE_API_KEY=... LONGWIRE_TOKEN_SECRET=... longwire serve --host 0.0.0.0

Every option of the configuration is a flag: channels.historySize is --channels-history-size.
\`longwire config sample\` prints them all.`,

  async run(args, terminal) {
    if (terminal.env[WORKER_ENVIRONMENT] !== undefined) return (await runWorker()) === 0 ? EXIT.ok : EXIT.cannot;
    const read = (): Config => loadConfig({ argv: args, env: terminal.env, cwd: terminal.cwd }).config;
    const config = read();
    const format = config.logFormat === "auto" ? (process.stdout.isTTY ? "pretty" : "json") : config.logFormat;
    const log = createLogger(config.logLevel, format);
    let gateway: RunningGateway | undefined;
    const signals = createSignalHandler(systemClock, {
      again: () => gateway?.hurry(),
      last: () => process.exit(EXIT.cannot),
    });
    const isAtTerminal = process.stdin.isTTY;
    const reload = (): void => {
      // The same signal says that the terminal was closed: whoever started it there has gone.
      if (isAtTerminal && !hasTerminal()) signals.receive();
      else if (gateway !== undefined) reloadInto(gateway, read, log);
    };
    // From the beginning: a signal during the start must end it too, in order, once it is up.
    process.on("SIGTERM", () => signals.receive());
    process.on("SIGINT", () => signals.receive());
    // A moment later: the terminal is taken away after the signal is sent.
    process.on("SIGHUP", () => void systemClock.after(HANGUP_MS, reload));
    const command = [process.execPath, Bun.main, "serve", ...args];
    gateway =
      workersOf(config) === 1
        ? await startGateway(config, log)
        : await startSupervisor(config, { command, env: terminal.env, logFormat: format, read }, log);
    await signals.first;
    await gateway.stop();
    return EXIT.ok;
  },
};

const HANGUP_MS = 50;

function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}

/** A configuration that cannot be used is told in the log, and the server goes on as it was. */
function reloadInto(gateway: RunningGateway, read: () => Config, log: LeveledLogger): void {
  try {
    const config = read();
    gateway.reload(config);
    log.setLevel(config.logLevel);
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof StartupError)) throw error;
    log.error("not reloaded", { reason: error.message, advice: error.advice });
  }
}
