import { type RunningGateway, startGateway } from "../app/serve.ts";
import { systemClock } from "../base/clock.ts";
import { createLogger } from "../base/log.ts";
import { loadConfig } from "../config/load.ts";
import type { Command } from "./command.ts";
import { EXIT } from "./command.ts";

/** Signals closer together than this are one: Ctrl-C reaches a server behind `npm start` by the terminal, by npm and by the launcher. */
const SAME_SIGNAL_MS = 500;

export const serve: Command = {
  help: `longwire serve [flags]

Runs the gateway until SIGTERM or SIGINT, which lets clients take what is queued for them; a second signal stops at once.
Without any configuration it serves this machine on port 8080, keeps its data in ./data and makes an API key.

  longwire serve
  longwire serve --port 9000 --data-dir /var/lib/longwire
  longwire serve --config /etc/longwire.toml --log-level debug
  LONGWIRE_API_KEY=... LONGWIRE_TOKEN_SECRET=... longwire serve --host 0.0.0.0

Every option of the configuration is a flag: channels.historySize is --channels-history-size.
\`longwire config sample\` prints them all.`,

  async run(args, terminal) {
    const { config } = loadConfig({ argv: args, env: terminal.env, cwd: terminal.cwd });
    const format = config.logFormat === "auto" ? (process.stdout.isTTY ? "pretty" : "json") : config.logFormat;
    const signalled = waitForSignal();
    const gateway = await startGateway(config, createLogger(config.logLevel, format));
    await signalled;
    await stop(gateway);
    return EXIT.ok;
  },
};

async function stop(gateway: RunningGateway): Promise<void> {
  const since = systemClock.now();
  const again = () => {
    if (systemClock.now() - since > SAME_SIGNAL_MS) process.exit(EXIT.cannot);
  };
  process.on("SIGTERM", again);
  process.on("SIGINT", again);
  await gateway.stop();
}

/** Listens from the beginning: a signal during the start must end it too, in order, once it is up. */
async function waitForSignal(): Promise<void> {
  await new Promise<void>((resolve) => {
    process.on("SIGTERM", () => resolve());
    process.on("SIGINT", () => resolve());
  });
}
