/** Serve: opens the ports, takes over what a reload brings, and closes everything again, in order. */
import { resolve } from "node:path";
import { systemClock, type Timer } from "../base/clock.ts";
import { StartupError } from "../base/failures.ts";
import { handoverFault } from "../base/handover.ts";
import type { Logger } from "../base/log.ts";
import { type ListeningSocket, setUserTimeout } from "../base/user-timeout.ts";
import { changesOf } from "../config/changes.ts";
import { checksTokens, type Config } from "../config/schema.ts";
import { refusalAt } from "./admission.ts";
import { type Capacity, capacityOf } from "./capacity.ts";
import { type Composition, compose } from "./compose.ts";
import { prepareEngine } from "./engine.ts";
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

export interface RunningGateway {
  readonly url: string;
  /** Port of the preset swoole, where it is on. */
  readonly swoolePort: number | undefined;
  /** Ports of raw TCP: that of `tcpPort`, unless it is off, then those of `tcpListeners`. */
  readonly tcpPorts: readonly number[];
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
  const posture = postureOf(config);
  const tls = readTls(config);
  const planned = await planListeners(config, log);
  const parts = await composed(config, posture, log);
  const capacity = capacityOf(config, () => parts.connections(), systemClock, log);
  const house = new House(config, posture, tls, parts, capacity, log);
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
  warnOfExpiry(tls, systemClock, log);
  const [main, swoole] = house.ports;
  const name = posture.host.includes(":") ? `[${posture.host}]` : posture.host;
  const url = `${tls === undefined ? "http" : "https"}://${name}:${main?.port}`;
  const tcp = house.listeners.map(({ port, framing, channel, tls: isTls }) => ({ port, framing, channel, tls: isTls }));
  const { engine } = config;
  const certificate = tls?.shown;
  log.info("listening", {
    url,
    tcp,
    swoolePort: swoole?.port,
    engine,
    version: VERSION,
    certificate,
    ...capacity.shown,
  });
  if (posture.madeKeyFile !== undefined) {
    const tcpPort = config.tcpPort === "off" ? undefined : house.listeners[0]?.port;
    process.stdout.write(welcome(url, tcpPort, posture, checksTokens(config)));
  }
  let stopping: Promise<void> | undefined;
  return {
    url,
    swoolePort: swoole?.port,
    tcpPorts: tcp.map(({ port }) => port),
    reload: (next) => house.reload(next),
    stop: () => (stopping ??= house.stop()),
    hurry: () => house.hurrying.abort(),
  };
}

async function composed(config: Config, posture: Posture, log: Logger): Promise<Composition> {
  const prepared = await prepareEngine(config, systemClock, log);
  try {
    return compose(config, settingsOf(config, posture, VERSION), prepared, log);
  } catch (error) {
    await prepared.abandon();
    throw error;
  }
}

/** What is open, and by which configuration. */
class House {
  readonly ports: WebPort[] = [];
  listeners: readonly OpenListener[] = [];
  readonly hurrying = new AbortController();
  #isLeaving = false;
  #isDraining = false;
  readonly #tidying: Timer;

  constructor(
    private config: Config,
    private posture: Posture,
    private tls: TlsFiles | undefined,
    private readonly parts: Composition,
    private readonly capacity: Capacity,
    private readonly log: Logger,
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
    this.ports.push(new WebPort({ ...shared, option: "port" }, tls, answers.main));
    if (config.presets.includes("swoole"))
      this.ports.push(new WebPort({ ...shared, option: "swoolePort" }, tls, answers.swoole));
  }

  #answers(): WebAnswers {
    const { config, posture, parts, log } = this;
    const { door } = this.capacity;
    const leaving = (): boolean => this.#isLeaving;
    const draining = (): boolean => this.#isDraining;
    return webAnswers({ config, posture, parts, door, leaving, draining, log });
  }

  sockets(): ListeningSocket[] {
    const open: readonly MaybeListening[] = [...this.ports, ...this.listeners.map(({ socket }) => socket)];
    return open.map(({ port = 0, fd }) => ({ port, fd }));
  }

  reload(next: Config): void {
    if (this.#isLeaving) return;
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
    this.log.info("reloaded", { changed, restart, ...(isRenewed && { certificate: tls?.shown }) });
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

  async stop(): Promise<void> {
    const { config, capacity, parts, log, listeners, ports, hurrying } = this;
    // First of all whoever asks is told that the server is not ready.
    this.#isLeaving = true;
    const { leaveSeconds, drainSeconds } = config;
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

/** What a newcomer sees: a page to open and lines to paste. The key itself stays in its file. */
function welcome(
  url: string,
  tcpPort: number | undefined,
  { madeKeyFile, demo, loopback, host }: Posture,
  hasTokenSecret: boolean,
): string {
  const file = resolve(madeKeyFile ?? "").replaceAll("'", String.raw`'\''`);
  const key = `$(cat '${file}')`;
  const channel = demo ? "demo:lobby" : "news";
  const data = demo ? `{"name":"curl","text":"hello"}` : `"hello"`;
  const advice = hasTokenSecret
    ? "No API key is configured, so the server made one. Before going public: apiKey, see docs/configuration.md"
    : "No secrets are configured, so nobody else can reach it. Before going public: apiKey and tokenSecret, see docs/configuration.md";
  const tcp =
    tcpPort === undefined
      ? ""
      : `\n  TCP:      nc ${host} ${tcpPort}, then type {"type":"subscribe","channel":"${channel}"}`;
  return `
Longwire serves ${loopback ? "this machine at " : ""}${url}${demo ? `\n  chat:     open ${url}/demo in two windows` : ""}
  publish:  curl ${url}/api/publish -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{"channel":"${channel}","data":${data}}'${tcp}

${advice}

`;
}
