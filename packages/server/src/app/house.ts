/** A gateway that is being put up, is open, and is closed again in order; whoever lets it listen, and speaks for it, stands above. */
import { acceptingOf } from "../base/accepting.ts";
import { systemClock, type Timer } from "../base/clock.ts";
import { StartupError } from "../base/failures.ts";
import { handoverFault } from "../base/handover.ts";
import type { Logger } from "../base/log.ts";
import { type ListeningSocket, setUserTimeout } from "../base/user-timeout.ts";
import { changesOf } from "../config/changes.ts";
import type { Config } from "../config/schema.ts";
import { refusalAt } from "./admission.ts";
import type { Opened } from "./announcement.ts";
import { type Capacity, capacityOf } from "./capacity.ts";
import { type Composition, compose } from "./compose.ts";
import { type PreparedEngine, prepareEngine } from "./engine.ts";
import { type OpenListener, openListeners, planListeners } from "./listeners.ts";
import { postureOf, type Posture } from "./posture.ts";
import { settingsOf } from "./settings.ts";
import { tidyAfterRush } from "./tidy.ts";
import { isSameTls, readTls, type TlsFiles, warnOfExpiry } from "./tls.ts";
import { VERSION } from "./version.ts";
import { webAnswers, type WebAnswers } from "./web-answers.ts";
import { WebPort } from "./web-server.ts";

/** The runtime's types do not know of all of it. */
interface MaybeListening {
  readonly port?: number | undefined;
  readonly fd?: number | undefined;
}

/** How long requests in flight may still take once all clients are gone and the time is over. */
const ANSWER_MS = 1000;

/** What one of several processes of a server has from the one that started it. */
export interface Inheritance {
  /** How many there are. */
  readonly workers: number;
  /** Descriptors of listening sockets: of HTTP, then of the preset swoole where it is on. */
  readonly web: readonly number[];
  /** The same of raw TCP, in the order of `planListeners`. */
  readonly tcp: readonly number[];
  /** Undefined: it opens its own. */
  readonly engine: PreparedEngine | undefined;
}

/** Rejects with `StartupError` when it cannot be; then nothing is left open. */
export async function openHouse(config: Config, log: Logger, inherited?: Inheritance): Promise<House> {
  const posture = postureOf(config);
  const tls = readTls(config);
  const listeners = await planListeners(config, log);
  const planned = listeners.map((one, index) => ({ ...one, inherited: inherited?.tcp[index] }));
  const parts = await composed(config, posture, log, inherited);
  const capacity = capacityOf(config, () => parts.connections(), systemClock, log, inherited?.workers);
  const house = new House(config, posture, tls, parts, capacity, log, inherited);
  try {
    const refusal = (): ReturnType<typeof refusalAt> => refusalAt(capacity.door.admission);
    house.openWeb();
    house.listeners = openListeners(planned, config, posture.host, parts, log, refusal, tls);
  } catch (error) {
    for (const port of house.ports) await port.close();
    parts.stop();
    await parts.engine.close();
    throw error;
  }
  giveUpDeadPeers(config, house.sockets(), log);
  capacity.watch(house.sockets());
  return house;
}

async function composed(
  config: Config,
  posture: Posture,
  log: Logger,
  inherited: Inheritance | undefined,
): Promise<Composition> {
  const prepared = inherited?.engine ?? (await prepareEngine(config, systemClock, log));
  try {
    return compose(config, settingsOf(config, posture, VERSION), prepared, log, inherited?.workers);
  } catch (error) {
    await prepared.abandon();
    throw error;
  }
}

/** What is open, and by which configuration. */
export class House {
  readonly ports: WebPort[] = [];
  listeners: readonly OpenListener[] = [];
  private readonly hurrying = new AbortController();
  #isLeaving = false;
  #isDraining = false;
  /** Its ports are another's, which takes its place. */
  #isSucceeded = false;
  #stopping: Promise<void> | undefined;
  readonly #tidying: Timer;

  constructor(
    private config: Config,
    private posture: Posture,
    private tls: TlsFiles | undefined,
    private readonly parts: Composition,
    private readonly capacity: Capacity,
    private readonly log: Logger,
    private readonly inherited?: Inheritance,
  ) {
    this.#tidying = tidyAfterRush(
      systemClock,
      () => parts.changes(),
      () => Bun.gc(true),
    );
  }

  /** Those that could be opened are in `ports`, also when the next one throws. */
  openWeb(): void {
    const { config, tls } = this;
    const { host } = this.posture;
    const { gateway } = this.parts;
    const answers = this.#answers();
    const shared = { config, host, gateway, clock: systemClock, log: this.log };
    const [main, swoole] = this.inherited?.web ?? [];
    this.ports.push(new WebPort({ ...shared, option: "port", inherited: main }, tls, answers.main));
    if (config.presets.includes("swoole"))
      this.ports.push(new WebPort({ ...shared, option: "swoolePort", inherited: swoole }, tls, answers.swoole));
  }

  #answers(): WebAnswers {
    const { config, posture, parts, log } = this;
    const { door } = this.capacity;
    const leaving = (): boolean => this.#isLeaving;
    const draining = (): boolean => this.#isDraining;
    return webAnswers({ config, posture, parts, door, leaving, draining, log });
  }

  opened(): Opened {
    const { posture, tls, ports, listeners, capacity } = this;
    return { posture, tls, web: ports.map(({ port }) => port), tcp: listeners, capacity: capacity.shown };
  }

  sockets(): ListeningSocket[] {
    const open: readonly MaybeListening[] = [...this.ports, ...this.listeners.map(({ socket }) => socket)];
    return open.map(({ port = 0, fd }) => ({ port, fd }));
  }

  reload(next: Config): void {
    if (this.#isLeaving || this.#isSucceeded) return;
    const { changed, restart, config } = changesOf(this.config, next);
    // Everything that can be wrong comes before anything is changed. The address is settled, whatever would be chosen today.
    const posture = postureOf({ ...config, host: this.posture.host });
    const files = readTls(config);
    const fault = isSameTls(files, this.tls) ? undefined : this.#renewalFault(files);
    const tls = fault === undefined ? files : this.tls;
    const apply = this.parts.prepare(config, settingsOf(config, posture, VERSION));
    const isRenewed = !isSameTls(tls, this.tls);
    if (isRenewed && tls !== undefined) this.#renew(tls);
    apply();
    this.config = config;
    this.posture = posture;
    this.capacity.reload(config);
    const answers = this.#answers();
    for (const [index, port] of this.ports.entries()) port.serve(index === 0 ? answers.main : answers.swoole);
    if (fault !== undefined) this.log.warn("the certificate stays until a restart", { reason: fault });
    const fields = { changed, restart, ...(isRenewed && { certificate: tls?.shown }) };
    // Who started several says it once.
    if (this.inherited !== undefined) {
      this.log.debug("reloaded", () => fields);
      return;
    }
    this.log.info("reloaded", fields);
    warnOfExpiry(tls, systemClock, this.log);
  }

  /** Why another certificate has to wait for a restart. */
  #renewalFault(next: TlsFiles | undefined): string | undefined {
    if (next === undefined) return "ports do not stop speaking TLS while they are open";
    if (this.tls === undefined) return "ports do not begin to speak TLS while they are open";
    return handoverFault();
  }

  /** New servers with the certificate take the ports over; the old ones go on with their connections. */
  #renew(tls: TlsFiles): void {
    this.capacity.unwatch();
    const waiting = new Set<{ close(): void }>();
    const opened = <T extends { close(): void }>(next: T): T => {
      waiting.add(next);
      return next;
    };
    const listeners = [...this.listeners];
    try {
      const webs = this.ports.map((port) => opened(port.next(tls)));
      const tcps = this.listeners.map((one) => (one.tls ? opened(one.next(tls)) : undefined));
      for (const web of webs) {
        web.take();
        waiting.delete(web);
      }
      for (const [index, tcp] of tcps.entries()) {
        if (tcp === undefined) continue;
        listeners[index] = tcp.take();
        waiting.delete(tcp);
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StartupError(`tlsCert: not every port can be served with it: ${reason}`, "restart the server");
    } finally {
      for (const next of waiting) next.close();
      this.listeners = listeners;
      this.capacity.watch(this.sockets());
    }
    this.tls = tls;
  }

  /** Another process accepts from its sockets, and alone from now on. All else goes on until `stop`. */
  letGo(): void {
    if (this.#isLeaving || this.#isSucceeded) return;
    this.#isSucceeded = true;
    this.capacity.unwatch();
    for (const port of this.ports) port.letGo();
    for (const { socket } of this.listeners) socket.stop();
  }

  hurry(): void {
    this.hurrying.abort();
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async #stop(): Promise<void> {
    const { config, capacity, parts, log, listeners, ports, hurrying } = this;
    // First of all whoever asks is told that the server is not ready. It is, where another has taken this one's place.
    this.#isLeaving = !this.#isSucceeded;
    const leaveSeconds = this.#isSucceeded ? 0 : config.leaveSeconds;
    const { drainSeconds } = config;
    log.info("stopping", { leaveSeconds, drainSeconds, clients: parts.connections() });
    const hurried = new Promise<void>((done) => {
      hurrying.signal.addEventListener("abort", () => done(), { once: true });
      if (hurrying.signal.aborted) done();
    });
    if (leaveSeconds > 0) await Promise.race([pause(leaveSeconds * 1000), hurried]);
    this.#isDraining = true;
    capacity.stop();
    const deadline = systemClock.uptime() + drainSeconds * 1000;
    // No new connections; those there are told, requests in flight are answered.
    this.#shut();
    for (const { socket } of listeners) socket.stop();
    const idle = Promise.all(ports.map((port) => port.stop()));
    await parts.drain(drainSeconds * 1000, hurrying.signal);
    const leftMs = Math.max(ANSWER_MS, deadline - systemClock.uptime());
    await Promise.race([idle, hurried, pause(leftMs)]);
    await Promise.all(ports.map((port) => port.close()));
    for (const { socket } of listeners) socket.stop(true);
    this.#tidying.cancel();
    parts.stop();
    await parts.engine.close();
    log.info("stopped");
  }

  /** Inherited sockets stay open elsewhere when they are closed here: who comes would wait there for nobody. */
  #shut(): void {
    if (this.inherited === undefined || this.#isSucceeded) return;
    const accepting = acceptingOf(this.sockets());
    if (typeof accepting !== "string") accepting.pause();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => void systemClock.after(ms, done));
}

/** Of a stream that leads out nothing is ever heard, so it is the kernel that must notice that its client was cut off. */
function giveUpDeadPeers(
  { pingIntervalMs, pingTimeoutMs }: Config,
  sockets: readonly ListeningSocket[],
  log: Logger,
): void {
  for (const { port, fd } of sockets) {
    const failure = setUserTimeout({ port, fd }, pingIntervalMs + pingTimeoutMs);
    if (failure !== undefined) log.warn("dead peers will be found late", { port, reason: failure });
  }
}
