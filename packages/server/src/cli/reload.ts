import { CommandError, type Command, EXIT } from "./command.ts";
import { askToReplace, type Replaced } from "../app/workers/control-socket.ts";
import { findSupervisor } from "../app/workers/run-file.ts";
import { loadConfig } from "../config/load.ts";
import { resolve } from "node:path";

export const reload: Command = {
  help: `longwire reload [flags]

Replaces the workers of a running server one after the other, with the configuration and the certificate as they are now: a new one is
ready before the one before it stops accepting. Nobody who connects is refused; those who are connected are told to come back within
drainSeconds. Waits for all of it, and ends with 1 where a new worker does not become ready; then the one before it stays.

  longwire reload
  longwire reload --data-dir /var/lib/longwire
  longwire reload --config /etc/longwire.toml

The server is found by its data folder, so flags and environment are the ones it was started with; the new workers are started with
its own. A server of one process reads its configuration again at SIGHUP.`,

  async run(args, terminal) {
    const { config } = loadConfig({ argv: args, env: terminal.env, cwd: terminal.cwd });
    const dataDir = resolve(terminal.cwd, config.dataDir);
    const running = findSupervisor(dataDir);
    if (running === undefined) {
      throw new CommandError(
        `no server with several workers runs on the data folder ${dataDir}`,
        "--data-dir names another one. A server of one process reads its configuration again at SIGHUP: kill -HUP PID",
      );
    }
    const { replaced, workers, failure } = await ask(running.socket, running.pid);
    if (replaced.length > 0)
      terminal.out(`replaced ${replaced.length} of ${workers} workers of the server ${running.pid}`);
    if (failure !== undefined) throw new CommandError(failure.message, failure.advice);
    return EXIT.ok;
  },
};

async function ask(socket: string, pid: number): Promise<Replaced> {
  try {
    return await askToReplace(socket);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(`the server ${pid} did not say what came of it: ${reason}`, "its log says more");
  }
}
