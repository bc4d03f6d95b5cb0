/** A worker: one of several processes that serve the same ports. It lives by what its supervisor says, and ends with it. */
import { systemClock } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import { newPeerMark } from "../../base/ids.ts";
import { createLogger, type LeveledLogger } from "../../base/log.ts";
import type { Config } from "../../config/schema.ts";
import { ConfigError } from "../../config/setting.ts";
import { connectRemoteEngine } from "../../engines/remote/client.ts";
import type { PreparedEngine } from "../engine.ts";
import { type House, openHouse } from "../house.ts";
import { VERSION } from "../version.ts";
import type { FromWorker, Place, ToWorker } from "./messages.ts";

/** Resolves with the exit code when this process is to end. Throws `StartupError` where nobody has started it as a worker. */
export function runWorker(): Promise<number> {
  if (process.send === undefined) {
    throw new StartupError(
      "LONGWIRE_WORKER is set, and there is no supervisor",
      "it is for the processes that the server starts by itself: take it out of the environment",
    );
  }
  const worker = new Worker((message) => void process.send?.(message));
  process.on("message", (message) => worker.take(message as ToWorker));
  process.on("disconnect", () => worker.exit(ORPHANED));
  // Those who can send it at a terminal send it to the supervisor, too.
  process.on("SIGINT", () => undefined);
  process.on("SIGHUP", () => undefined);
  process.on("SIGTERM", () => worker.leave());
  worker.greet();
  return worker.over;
}

const ORPHANED = 1;
const REFUSED = 1;

class Worker {
  readonly #over = Promise.withResolvers<number>();
  #house: House | undefined;
  #log: LeveledLogger | undefined;
  /** What came before there was anything to reload. */
  #next: Config | undefined;
  #isStopping = false;

  constructor(private readonly tell: (message: FromWorker) => void) {}

  get over(): Promise<number> {
    return this.#over.promise;
  }

  greet(): void {
    this.tell({ type: "hello", version: VERSION });
  }

  leave(): void {
    this.tell({ type: "leaving" });
  }

  /** At once, whatever is going on: nothing can be kept any more, and the next supervisor wants the ports. */
  exit(code: number): void {
    process.exit(code);
  }

  take(message: ToWorker): void {
    switch (message.type) {
      case "start":
        void this.#start(message.config, message.place);
        return;
      case "reload":
        this.#reload(message.config);
        return;
      case "let-go":
        this.#letGo();
        return;
      case "stop":
        this.#isStopping = true;
        void this.#stop();
        return;
      case "hurry":
        this.#house?.hurry();
        return;
      case "beat":
        this.tell({ type: "beat" });
        return;
    }
  }

  async #start(config: Config, place: Place): Promise<void> {
    const log = createLogger(config.logLevel, place.logFormat, { worker: place.number });
    this.#log = log;
    try {
      const { workers, web, tcp, engineSocket } = place;
      const engine = engineSocket === undefined ? undefined : await this.#engine(engineSocket, log);
      this.#house = await openHouse(config, log, { workers, web, tcp, engine });
    } catch (error) {
      if (!(error instanceof StartupError)) throw error;
      this.tell({ type: "refused", message: error.message, advice: error.advice });
      this.#over.resolve(REFUSED);
      return;
    }
    this.tell({ type: "ready", capacity: this.#house.opened().capacity });
    if (this.#next !== undefined) this.#reload(this.#next);
    if (this.#isStopping) void this.#stop();
  }

  #engine(path: string, log: LeveledLogger): Promise<PreparedEngine> {
    const onLost = (): void => this.exit(ORPHANED);
    return connectRemoteEngine(path, { self: newPeerMark(), clock: systemClock, log, onLost });
  }

  #reload(config: Config): void {
    if (this.#house === undefined) {
      this.#next = config;
      return;
    }
    try {
      this.#house.reload(config);
      this.#log?.setLevel(config.logLevel);
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof StartupError)) throw error;
      this.#log?.error("not reloaded", { reason: error.message, advice: error.advice });
    }
    this.tell({ type: "reloaded" });
  }

  /** One that is not up yet must not take the sockets any more, nor shut them when it stops: they are its successor's. */
  #letGo(): void {
    if (this.#house === undefined) this.#over.resolve(0);
    else this.#house.letGo();
  }

  /** One that is not up yet has nothing to end, and is not waited for. */
  async #stop(): Promise<void> {
    await this.#house?.stop();
    this.#over.resolve(0);
  }
}
