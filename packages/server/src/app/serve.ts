/** Serve: opens the port and closes everything again, in order. */
import { resolve } from "node:path";
import type { Server } from "bun";
import { originCheck } from "../auth/origin.ts";
import { systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { type ListeningSocket, setUserTimeout } from "../base/user-timeout.ts";
import { asksWhoConnects, checksTokens, type Config } from "../config/schema.ts";
import { createHttp } from "../http/api.ts";
import { splitUrl } from "../http/router.ts";
import { requestViewer } from "../transports/request-view.ts";
import { WebSocketFanout, type WebSocketConnection } from "../transports/websocket.ts";
import { demoAssets } from "./assets.ts";
import { refusalAt } from "./admission.ts";
import { capacityOf } from "./capacity.ts";
import { type Composition, compose } from "./compose.ts";
import { cookieParts } from "./cookies.ts";
import type { Door } from "./door.ts";
import { type OpenListener, openListeners, planListeners } from "./listeners.ts";
import { createMounts } from "./mounts.ts";
import { postureOf, type Posture } from "./posture.ts";
import { openSwoole } from "./presets.ts";
import { settingsOf } from "./settings.ts";
import { tidyAfterRush } from "./tidy.ts";
import { VERSION } from "./version.ts";
import { openWebServer } from "./web-server.ts";

type WebServer = Server<WebSocketConnection>;

/** The runtime's types do not know of all of it. */
interface MaybeListening {
  readonly port?: number | undefined;
  readonly fd?: number;
}

/** How long a backend whose key was good may be silent, between two requests or within one. */
const KEPT_SECONDS = 120;

/** How long requests in flight may still take once all clients are gone. */
const ANSWER_MS = 1000;

export interface RunningGateway {
  readonly url: string;
  /** Port of the preset swoole, where it is on. */
  readonly swoolePort: number | undefined;
  /** Ports of raw TCP: that of `tcpPort`, unless it is off, then those of `tcpListeners`. */
  readonly tcpPorts: readonly number[];
  /** Tells clients to come back elsewhere, waits for them within `drainSeconds`, keeps what was accepted, and lets go. */
  stop(): Promise<void>;
}

/** Starts a gateway. Rejects with `StartupError` when it cannot start; then nothing is left running. */
export async function startGateway(config: Config, log: Logger): Promise<RunningGateway> {
  const posture = postureOf(config);
  const settings = settingsOf(config, posture, VERSION);
  const planned = await planListeners(config, log);
  const parts = compose(config, settings, log);
  const capacity = capacityOf(config, () => parts.connections(), systemClock, log);
  let draining = false;
  const servers: WebServer[] = [];
  let listeners: readonly OpenListener[];
  try {
    openWebServers(servers, config, posture, parts, capacity.door, () => draining, log);
    listeners = openListeners(planned, config, posture.host, parts, log, () => refusalAt(capacity.door.admission));
  } catch (error) {
    for (const server of servers) await server.stop(true);
    parts.stop();
    await parts.engine.close();
    throw error;
  }
  const open: readonly MaybeListening[] = [...servers, ...listeners.map(({ socket }) => socket)];
  const sockets = open.map(({ port = 0, fd }) => ({ port, fd }));
  giveUpDeadPeers(config, sockets, log);
  capacity.watch(sockets);
  const [server, swoole] = servers;
  const tidying = tidyAfterRush(
    systemClock,
    () => parts.changes(),
    () => Bun.gc(true),
  );
  const url = `http://${posture.host.includes(":") ? `[${posture.host}]` : posture.host}:${server?.port}`;
  const tcp = listeners.map(({ port, framing, channel }) => ({ port, framing, channel }));
  const { engine } = config;
  log.info("listening", { url, tcp, swoolePort: swoole?.port, engine, version: VERSION, ...capacity.shown });
  if (posture.madeKeyFile !== undefined) {
    const tcpPort = config.tcpPort === "off" ? undefined : listeners[0]?.port;
    process.stdout.write(welcome(url, tcpPort, posture, checksTokens(config)));
  }

  return {
    url,
    swoolePort: swoole?.port,
    tcpPorts: tcp.map(({ port }) => port),
    async stop() {
      draining = true;
      capacity.stop();
      log.info("stopping", { drainSeconds: config.drainSeconds });
      // No new connections; those there are told, requests in flight are answered.
      for (const { socket } of listeners) socket.stop();
      const idle = Promise.all(servers.map((one) => one.stop()));
      await parts.drain(config.drainSeconds * 1000);
      await Promise.race([idle, new Promise<void>((resolve) => systemClock.after(ANSWER_MS, resolve))]);
      await Promise.all(servers.map((one) => one.stop(true)));
      for (const { socket } of listeners) socket.stop(true);
      tidying.cancel();
      parts.stop();
      await parts.engine.close();
      log.info("stopped");
    },
  };
}

/** Those that could be opened are in `servers`, also when the next one throws. */
function openWebServers(
  servers: WebServer[],
  config: Config,
  posture: Posture,
  { gateway, control, engine, turn }: Composition,
  door: Door,
  draining: () => boolean,
  log: Logger,
): void {
  const originAllowed = originCheck(config.origins, posture.loopback, posture.hasTokens);
  const { host } = posture;
  const cookies = cookieParts(config);
  const viewer = asksWhoConnects(config) ? requestViewer(config.hookHeaders, cookies.mayUseCookies) : undefined;
  const http = createHttp({
    control,
    keys: posture.keys,
    recognised: (request) => servers[0]?.timeout(request, KEPT_SECONDS),
    log,
    health: () => (draining() ? { ready: false, reason: "the server is going away" } : engine.health()),
    limits: config,
    assets: demoAssets(posture.demo),
    version: VERSION,
  });
  const fanout = new WebSocketFanout(config.perMessageDeflate);
  const mounts = createMounts({
    ...door,
    gateway,
    turn,
    fanout,
    originAllowed,
    depthMax: config.depthMax,
    channelsMax: config.subscriptionsMax,
    bodyBytesMax: config.bodyBytesMax,
    compression: config.compression,
    retryMs: config.retryMs,
    messageBytesMax: config.messageBytesMax,
    queueBytesMax: config.queueBytesMax,
    pollWaitSecondsMax: config.pollWaitSecondsMax,
    ratchet: config.presets.includes("ratchet"),
    draining,
    viewer,
    ...cookies,
  });
  servers.push(
    openWebServer({
      config,
      host,
      option: "port",
      gateway,
      fanout,
      fetch(request, server) {
        const mount = mounts.find(splitUrl(request.url).path);
        return mount === undefined ? http(request) : mount(request, server);
      },
    }),
  );
  if (config.presets.includes("swoole"))
    servers.push(openSwoole({ ...door, config, host, gateway, originAllowed, draining, viewer, ...cookies }));
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
