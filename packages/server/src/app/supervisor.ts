/**
 * The supervisor: several processes serve the same ports, and this one keeps what they share, the engine and the listening sockets. It has no client itself. It
 * replaces workers that die, hands on signals, and lets nothing be left behind when it ends.
 */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { StartupError } from "../base/failures.ts";
import type { LeveledLogger, LogFormat } from "../base/log.ts";
import { changesOf } from "../config/changes.ts";
import type { Config } from "../config/schema.ts";
import { ConfigError } from "../config/setting.ts";
import type { Settings } from "../core/settings.ts";
import { announce } from "./announcement.ts";
import type { Capacity } from "./capacity.ts";
import { type PlannedListener, planListeners } from "./listeners.ts";
import { postureOf, type Posture } from "./posture.ts";
import type { RunningGateway } from "./serve.ts";
import { settingsOf } from "./settings.ts";
import { isSameTls, readTls, type TlsFiles, warnOfExpiry } from "./tls.ts";
import { Trust } from "./trust.ts";
import { VERSION } from "./version.ts";
import { openControlSocket, type Replaced } from "./workers/control-socket.ts";
import { type EngineHost, openEngineHost } from "./workers/engine-host.ts";
import { openSharedPorts, type SharedPorts } from "./workers/ports.ts";
import { makePrivateFolder } from "./workers/private-folder.ts";
import { replaceAll } from "./workers/rolling.ts";
import { openRunFile, type RunFile } from "./workers/run-file.ts";
import { Slot } from "./workers/slot.ts";
import { WorkerProcess } from "./workers/worker-process.ts";

/** How workers are started. */
export interface Launch {
  /** The program and its arguments: `longwire serve` with the same flags. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logFormat: LogFormat;
  /** The configuration as it stands in its sources now, for a rolling restart. Throws `ConfigError`. */
  readonly read: () => Config;
}

export interface RunningSupervisor extends RunningGateway {
  /** Resolves when all workers have what the last `reload` brought. */
  reloaded(): Promise<void>;
  /** A rolling restart. Rejects with nothing: what went wrong stands in the answer. */
  replace(): Promise<Replaced>;
}

/** What a stop may take beyond the times that are configured. */
const STOP_MS = 15_000;

/** How many processes are to serve. */
export function workersOf({ workers }: Config): number {
  // Elsewhere they could not share their ports.
  if (workers === "auto") return process.platform === "linux" ? availableParallelism() : 1;
  return workers;
}

/** Starts a gateway of several processes. Rejects with `StartupError` when it cannot start; then nothing is left running. */
export async function startSupervisor(config: Config, launch: Launch, log: LeveledLogger): Promise<RunningSupervisor> {
  if (process.platform !== "linux") {
    throw new StartupError(`workers: several processes need Linux, not ${process.platform}`, "leave `workers` out");
  }
  // What is wrong with the configuration is found out here, once, and not by each worker.
  const posture = postureOf(config);
  const tls = readTls(config);
  const planned = await planListeners(config, log);
  new Trust(config, systemClock, log).stop();
  const undo: (() => void | Promise<void>)[] = [];
  let supervisor: Supervisor | undefined;
  try {
    const runFile = openRunFile(config.dataDir);
    // Where the engine needs the folder, it says better what is wrong with it.
    if (typeof runFile === "string") log.warn("`longwire reload` will not find this server", { reason: runFile });
    else undo.push(() => runFile.release());
    const privately = makePrivateFolder(systemClock);
    const folder = privately.path;
    undo.push(() => privately.remove());
    const settings = settingsOf(config, posture, VERSION);
    const host = await openEngineHost(config, settings, folder, log, (pid, reason) => supervisor?.end(pid, reason));
    undo.push(() => host.close());
    const ports = openSharedPorts(config, posture.host, planned, workersOf(config));
    undo.push(() => ports.close());
    const own = { posture, tls, planned, runFile, folder, host, ports, undo };
    const built = new Supervisor(config, launch, log, own);
    supervisor = built;
    undo.push(() => built.kill());
    return await built.start();
  } catch (error) {
    await undoAll(undo);
    throw error;
  }
}

async function undoAll(undo: (() => void | Promise<void>)[]): Promise<void> {
  for (let step = undo.pop(); step !== undefined; step = undo.pop()) await step();
}

interface Belongings {
  readonly posture: Posture;
  readonly tls: TlsFiles | undefined;
  readonly planned: readonly PlannedListener[];
  readonly runFile: RunFile | string;
  readonly folder: string;
  readonly host: EngineHost;
  readonly ports: SharedPorts;
  /** What closes them, last first. */
  readonly undo: (() => void | Promise<void>)[];
}

/** What a configuration leads to. */
interface Checked {
  readonly tls: TlsFiles | undefined;
  readonly settings: Settings;
}

interface Intended {
  readonly config: Config;
  readonly checked: Checked;
}

class Supervisor {
  readonly #slots: readonly Slot[];
  #tls: TlsFiles | undefined;
  #stopping: Promise<void> | undefined;
  #replacing: Promise<Replaced> | undefined;
  /** What a rolling restart brings, as long as no worker runs with it. */
  #coming: Intended | undefined;
  #reloading = Promise.resolve();

  constructor(
    private config: Config,
    private readonly launch: Launch,
    private readonly log: LeveledLogger,
    private readonly own: Belongings,
  ) {
    this.#tls = own.tls;
    const count = workersOf(config);
    this.#slots = Array.from(
      { length: count },
      (_, index) =>
        new Slot({
          number: index + 1,
          clock: systemClock,
          log,
          spawn: (leaving, next = this.config) => this.#spawn(index, next, leaving),
          shut: () => own.ports.shut(index),
        }),
    );
  }

  end(pid: number, reason: string): void {
    this.#workers()
      .find((worker) => worker.pid === pid)
      ?.kill(reason);
  }

  #workers(): readonly WorkerProcess[] {
    return this.#slots.flatMap((slot) => slot.workers());
  }

  #spawn(index: number, config: Config, leaving: (worker: WorkerProcess) => void): WorkerProcess {
    const { ports, host } = this.own;
    const { command, env, logFormat } = this.launch;
    const place = { number: index + 1, workers: this.#slots.length, engineSocket: host.socket, logFormat };
    const socketOf = ({ sockets }: SharedPorts["web"][number]): number => sockets[index] ?? -1;
    const worker: WorkerProcess = new WorkerProcess({
      command,
      env,
      config,
      place,
      web: ports.web.map(socketOf),
      tcp: ports.tcp.map(socketOf),
      clock: systemClock,
      leaving: () => leaving(worker),
    });
    return worker;
  }

  async start(): Promise<RunningSupervisor> {
    const { posture, tls, planned, ports, folder, runFile, undo } = this.own;
    const capacities = await Promise.all(this.#slots.map((slot) => slot.start()));
    const socket = join(folder, "control");
    const control = openControlSocket(socket, () => this.replace(), this.log);
    undo.push(() => control.close());
    if (typeof runFile !== "string") runFile.write({ pid: process.pid, socket });
    const tcp = planned.map(({ framing, channel, tls: isTls }, index) => {
      const port = ports.tcp[index]?.port ?? 0;
      return { port, framing, channel, tls: isTls };
    });
    const web = ports.web.map(({ port }) => port);
    const workers = this.#slots.length;
    const capacity = totalOf(capacities);
    return {
      ...announce(this.config, { posture, tls, web, tcp, workers, capacity }, this.log),
      reload: (next) => this.reload(next),
      reloaded: () => this.#reloading,
      replace: () => this.replace(),
      stop: () => (this.#stopping ??= this.#stop()),
      hurry: () => {
        for (const worker of this.#workers()) worker.hurry();
      },
    };
  }

  reload(next: Config): void {
    if (this.#stopping !== undefined) return;
    const { changed, restart, config } = changesOf(this.config, next);
    const checked = this.#checked(config);
    const coming = this.#coming && this.#intended(changesOf(this.#coming.config, next).config);
    // Where ports would begin or end to speak TLS, the workers say that it waits for a restart, and so it does for those to come.
    const isSettled = (checked.tls === undefined) !== (this.#tls === undefined);
    const tls = isSettled ? this.#tls : checked.tls;
    const isRenewed = !isSameTls(tls, this.#tls);
    const { tlsCert, tlsKey, tlsKeyPassphrase } = isSettled ? this.config : config;
    this.#take({ ...config, tlsCert, tlsKey, tlsKeyPassphrase }, { ...checked, tls });
    this.#coming = coming;
    this.#reloading = Promise.all(this.#workers().map((worker) => worker.reload(config))).then(() => {
      this.log.info("reloaded", { changed, restart, ...(isRenewed && { certificate: tls?.shown }) });
      warnOfExpiry(this.#tls, systemClock, this.log);
    });
  }

  /** Everything that can be wrong, before anything is changed. */
  #checked(config: Config): Checked {
    // The address is settled, whatever would be chosen today.
    const posture = postureOf({ ...config, host: this.own.posture.host });
    const tls = readTls(config);
    new Trust(config, systemClock, this.log).stop();
    return { tls, settings: settingsOf(config, posture, VERSION) };
  }

  #intended(config: Config): Intended {
    return { config, checked: this.#checked(config) };
  }

  replace(): Promise<Replaced> {
    const workers = this.#slots.length;
    const failed = (message: string, advice?: string): Replaced => ({
      replaced: [],
      workers,
      failure: { message, advice },
    });
    if (this.#stopping !== undefined) return Promise.resolve(failed("the server is stopping"));
    if (this.#replacing !== undefined) return Promise.resolve(failed("its workers are being replaced already"));
    try {
      const next = this.launch.read();
      this.#requireSame(next);
      const intended = this.#intended(next);
      if ((intended.checked.tls === undefined) !== (this.#tls === undefined))
        throw new StartupError("tlsCert: whether ports speak TLS is settled", "restart the server");
      this.#coming = intended;
    } catch (error) {
      if (!(error instanceof ConfigError || error instanceof StartupError)) throw error;
      return Promise.resolve(failed(error.message, error.advice));
    }
    // Before one runs with it, a worker that dies is replaced with the configuration that is known to be good.
    const isGood = (): void => {
      if (this.#coming !== undefined) this.#take(this.#coming.config, this.#coming.checked);
      this.#coming = undefined;
    };
    // A reload may come in between, and is for those who are still to be started, too.
    const configOf = (): Config => this.#coming?.config ?? this.config;
    this.log.info("replacing workers", { workers });
    this.#replacing = replaceAll(this.#slots, configOf, systemClock, isGood).finally(() => {
      this.#replacing = undefined;
      this.#coming = undefined;
    });
    return this.#replacing;
  }

  #take(config: Config, { settings, tls }: Checked): void {
    this.config = config;
    this.#tls = tls;
    this.own.host.reload(settings);
    this.log.setLevel(config.logLevel);
  }

  /** New workers may be told anything but what the supervisor has settled for them. */
  #requireSame(next: Config): void {
    const differing = SETTLED.filter((name) => !Bun.deepEquals(this.config[name], next[name], true));
    if (differing.length === 0) return;
    throw new StartupError(
      `${differing.join(", ")}: settled while the server runs, and now another`,
      "restart the server, or take the change back",
    );
  }

  async #stop(): Promise<void> {
    const { leaveSeconds, drainSeconds } = this.config;
    this.log.info("stopping", { workers: this.#slots.length, leaveSeconds, drainSeconds });
    const late = systemClock.after((leaveSeconds + drainSeconds) * 1000 + STOP_MS, () => {
      this.log.error("workers do not stop in time, and are killed", { workers: this.#workers().length });
      for (const worker of this.#workers()) worker.kill("it does not stop");
    });
    for (const worker of this.#workers()) worker.stop();
    await Promise.all(this.#slots.map((slot) => slot.close()));
    late.cancel();
    await undoAll(this.own.undo);
    this.log.info("stopped");
  }

  /** Nobody is left. */
  async kill(): Promise<void> {
    const closed = this.#slots.map((slot) => slot.close());
    for (const worker of this.#workers()) worker.kill("the server does not start");
    await Promise.all(closed);
  }
}

/** Options that are the supervisor's: ports and addresses, the engine, how many there are. */
const SETTLED = [
  "port",
  "host",
  "tcpPort",
  "tcpListeners",
  "presets",
  "swoolePort",
  "workers",
  "engine",
  "dataDir",
  "sync",
  "idempotencySeconds",
  "positionTtlSeconds",
  "logFormat",
] as const satisfies readonly (keyof Config)[];

/** Of descriptors each has its own. */
function totalOf(capacities: readonly Capacity["shown"][]): Capacity["shown"] {
  return {
    connectionsMax: capacities.reduce((sum, { connectionsMax }) => sum + connectionsMax, 0),
    memoryBytesMax: capacities.reduce((sum, { memoryBytesMax }) => sum + memoryBytesMax, 0),
    descriptors: capacities[0]?.descriptors,
  };
}
