/** All ports of the server, each with a listening socket for every worker. */
import { openSharedPort, type SharedPort } from "../../base/listening.ts";
import type { Config } from "../../config/schema.ts";
import type { PlannedListener } from "../listeners.ts";
import { portErrorOf, wantedWebPort, type WantedPort } from "../port-error.ts";

export interface SharedPorts {
  readonly web: readonly SharedPort[];
  readonly tcp: readonly SharedPort[];
  /** Who comes is left to the other workers until this one listens again. */
  shut(slot: number): void;
  close(): void;
}

/** Throws `StartupError` where one cannot be had; then none is open. */
export function openSharedPorts(
  config: Config,
  defaultHost: string,
  planned: readonly PlannedListener[],
  workers: number,
): SharedPorts {
  const web = [wantedWebPort(config, defaultHost, "port")];
  if (config.presets.includes("swoole")) web.push(wantedWebPort(config, defaultHost, "swoolePort"));
  const tcp = planned.map(({ host = defaultHost, port, option, elsewhere }): WantedPort => ({
    host,
    port,
    option,
    elsewhere,
  }));
  const open: SharedPort[] = [];
  for (const wanted of [...web, ...tcp]) {
    try {
      open.push(openSharedPort(wanted.host, wanted.port, workers));
    } catch (error) {
      for (const port of open) port.close();
      throw portErrorOf(error, wanted);
    }
  }
  return {
    web: open.slice(0, web.length),
    tcp: open.slice(web.length),
    shut(slot) {
      for (const port of open) port.shut(slot);
    },
    close() {
      for (const port of open) port.close();
    },
  };
}
