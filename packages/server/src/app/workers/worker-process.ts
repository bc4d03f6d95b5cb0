/** A worker as its supervisor sees it: a process that is to become ready, to answer as long as it lives, and to end when it is told. */
import type { Subprocess } from "bun";
import type { Clock, Timer } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import { changesOf } from "../../config/changes.ts";
import type { Config } from "../../config/schema.ts";
import type { Capacity } from "../capacity.ts";
import { VERSION } from "../version.ts";
import { type FromWorker, type Place, type ToWorker, WORKER_ENVIRONMENT } from "./messages.ts";

/** Counted in ticks of our own, not in time that has passed: one that slept together with its supervisor is not to blame. */
const TICK_MS = 1000;
const SILENT_TICKS_MAX = 10;
/** Until its first word: a machine under load takes a while to read the program. */
const STARTING_TICKS_MAX = 60;

const READY_MS = 60_000;

export interface WorkerParts {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly config: Config;
  readonly place: Omit<Place, "web" | "tcp">;
  /** Descriptors of this process. */
  readonly web: readonly number[];
  readonly tcp: readonly number[];
  readonly clock: Clock;
  /** Somebody has asked this worker alone to stop. */
  readonly leaving: () => void;
}

/**
 * The runtime asks the kernel to kill the worker with its supervisor. By itself a worker sees the end of its channel, but not while it stands still, and it
 * would keep the ports from the next supervisor.
 */
const NO_ORPHANS = "BUN_FEATURE_FLAG_NO_ORPHANS";

/** Of one that was told to end. */
export const GOOD_END = "exit code 0";

export interface Ending {
  /** How, in words for the log: `exit code 1`, `SIGKILL`. */
  readonly how: string;
  /** Why, where that is known: the supervisor's own doing, or what the worker has said. */
  readonly reason: string | undefined;
  readonly livedMs: number;
}

/** Of those that every process has, the last. */
const STANDARD_DESCRIPTORS = 3;

export class WorkerProcess {
  /** Rejects with `StartupError` when it ends before. */
  readonly ready: Promise<Capacity["shown"]>;
  readonly ended: Promise<Ending>;
  readonly number: number;
  readonly #process: Subprocess;
  readonly #ready = Promise.withResolvers<Capacity["shown"]>();
  readonly #ticking: Timer;
  readonly #late: Timer;
  readonly #place: Place;
  #config: Config;
  readonly #reloads: (() => void)[] = [];
  #isStarted = false;
  #isConnected = true;
  #isOver = false;
  #isAsked = true;
  #silentTicks = 0;
  #silentTicksMax = STARTING_TICKS_MAX;
  #reason: string | undefined;
  #refusal: StartupError | undefined;

  /** Throws `StartupError` where the machine has no process for it. */
  constructor(private readonly parts: WorkerParts) {
    const { config, place, web, tcp, clock } = parts;
    this.number = place.number;
    this.#config = config;
    const inherited = [...web, ...tcp].map((_, index) => STANDARD_DESCRIPTORS + index);
    this.#place = { ...place, web: inherited.slice(0, web.length), tcp: inherited.slice(web.length) };
    const startedAt = clock.uptime();
    this.#process = this.#spawn();
    this.#ticking = clock.every(TICK_MS, () => this.#tick());
    this.#late = clock.after(READY_MS, () => this.kill("it does not become ready"));
    this.ready = this.#ready.promise;
    // Whoever starts it looks; nobody has to.
    this.ready.catch(() => undefined);
    this.ended = this.#process.exited.then(() => this.#over(clock.uptime() - startedAt));
  }

  #spawn(): Subprocess {
    const { command, env, place, web, tcp } = this.parts;
    try {
      return Bun.spawn([...command], {
        env: { ...env, [WORKER_ENVIRONMENT]: String(place.number), [NO_ORPHANS]: "1" },
        stdio: ["ignore", "inherit", "inherit", ...web, ...tcp],
        ipc: (message) => this.#heard(message as FromWorker),
        onDisconnect: () => {
          this.#isConnected = false;
        },
      });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const advice = "look at the limits of processes and descriptors, and whether the program is still where it was";
      throw new StartupError(`worker ${place.number} cannot be started: ${reason}`, advice);
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Another configuration; one that has not begun begins with it. Resolves when it has it, or has ended. */
  async reload(config: Config): Promise<void> {
    if (!this.#isStarted) {
      // What takes a restart it has in any case, and may have been started for.
      this.#config = changesOf(this.#config, config).config;
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#reloads.push(resolve);
    this.#send({ type: "reload", config });
    await Promise.race([promise, this.ended]);
  }

  letGo(): void {
    this.#send({ type: "let-go" });
  }

  stop(): void {
    this.#send({ type: "stop" });
  }

  hurry(): void {
    this.#send({ type: "hurry" });
  }

  kill(reason: string): void {
    if (this.#isOver) return;
    this.#reason ??= reason;
    this.#process.kill("SIGKILL");
  }

  #send(message: ToWorker): void {
    if (!this.#isConnected) return;
    try {
      this.#process.send(message);
    } catch (error) {
      // One that has just died takes nothing any more, and we may not have been told yet (measured); its end tells.
      if ((error as NodeJS.ErrnoException).code !== "ERR_IPC_CHANNEL_CLOSED") throw error;
      this.#isConnected = false;
    }
  }

  #heard(message: FromWorker): void {
    this.#isAsked = false;
    this.#silentTicks = 0;
    switch (message.type) {
      case "hello":
        this.#begin(message.version);
        return;
      case "ready":
        this.#late.cancel();
        this.#ready.resolve(message.capacity);
        return;
      case "refused":
        this.#reason = message.message;
        this.#refusal = new StartupError(message.message, message.advice);
        return;
      case "reloaded":
        this.#reloads.shift()?.();
        return;
      case "leaving":
        this.parts.leaving();
        return;
      case "beat":
        return;
    }
  }

  #begin(version: string): void {
    if (version !== VERSION) {
      const reason = `the program is now of version ${version}, and its supervisor of version ${VERSION}`;
      this.#refusal = new StartupError(reason, "restart the server");
      this.kill(reason);
      return;
    }
    this.#isStarted = true;
    this.#silentTicksMax = SILENT_TICKS_MAX;
    this.#send({ type: "start", config: this.#config, place: this.#place });
  }

  #tick(): void {
    if (!this.#isAsked) {
      this.#isAsked = true;
      this.#send({ type: "beat" });
      return;
    }
    this.#silentTicks++;
    if (this.#silentTicks >= this.#silentTicksMax) {
      this.kill(`it has not answered for ${(this.#silentTicks * TICK_MS) / 1000} s`);
    }
  }

  #over(livedMs: number): Ending {
    this.#isOver = true;
    this.#isConnected = false;
    this.#ticking.cancel();
    this.#late.cancel();
    const { exitCode, signalCode } = this.#process;
    const how = signalCode === null ? `exit code ${exitCode}` : String(signalCode);
    const early = new StartupError(
      `worker ${this.number} ended before it was ready: ${this.#reason ?? how}`,
      "what it has written before says more",
    );
    this.#ready.reject(this.#refusal ?? early);
    return { how, reason: this.#reason, livedMs };
  }
}
