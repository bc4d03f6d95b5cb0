/** Serve: a gateway in this process, and what is said of it when it is up. */
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import { type Addresses, announce } from "./announcement.ts";
import { openHouse } from "./house.ts";

export interface RunningGateway extends Addresses {
  /**
   * Takes over what of another configuration can be, certificates and keys in files included, and says in the log what that was. Throws `ConfigError` or
   * `StartupError` where it cannot be used; then nothing has changed.
   */
  reload(config: Config): void;
  /** Tells clients to come back elsewhere, waits for them within `drainSeconds`, keeps what was accepted, and lets go. */
  stop(): Promise<void>;
  /** Waits for nobody any more, where it is stopping. What was accepted is kept all the same. */
  hurry(): void;
}

/** Starts a gateway. Rejects with `StartupError` when it cannot start; then nothing is left running. */
export async function startGateway(config: Config, log: Logger): Promise<RunningGateway> {
  const house = await openHouse(config, log);
  return {
    ...announce(config, house.opened(), log),
    reload: (next) => house.reload(next),
    stop: () => house.stop(),
    hurry: () => house.hurry(),
  };
}
