import { startGateway } from "../app/serve.ts";
import { systemClock } from "../base/clock.ts";
import { createLogger } from "../base/log.ts";
import { loadConfig } from "../config/load.ts";
import { type Command, EXIT } from "./command.ts";
import { createSignalHandler } from "./signals.ts";

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
    const signals = createSignalHandler(systemClock, () => process.exit(EXIT.cannot));
    // From the beginning: a signal during the start must end it too, in order, once it is up.
    process.on("SIGTERM", () => signals.receive());
    process.on("SIGINT", () => signals.receive());
    const gateway = await startGateway(config, createLogger(config.logLevel, format));
    await signals.first;
    await gateway.stop();
    return EXIT.ok;
  },
};
