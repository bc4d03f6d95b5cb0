/** Serve: opens the port and closes everything again, in order. */
import { resolve } from "node:path";
import type { Server } from "bun";
import { originCheck } from "../auth/origin.ts";
import { systemClock } from "../base/clock.ts";
import { StartupError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import { createHttp } from "../http/api.ts";
import { splitUrl } from "../http/router.ts";
import { WebSocketFanout, webSocketHandler, type WebSocketConnection } from "../transports/websocket.ts";
import { demoAssets } from "./assets.ts";
import { type Composition, compose } from "./compose.ts";
import { createMounts } from "./mounts.ts";
import { postureOf, type Posture } from "./posture.ts";
import { settingsOf } from "./settings.ts";
import { tidyAfterRush } from "./tidy.ts";
import { VERSION } from "./version.ts";

/** How long requests in flight may still take once all clients are gone. */
const ANSWER_MS = 1000;

export interface RunningGateway {
  readonly url: string;
  /** Tells clients to come back elsewhere, waits for them within `drainSeconds`, keeps what was accepted, and lets go. */
  stop(): Promise<void>;
}

/** Starts a gateway. Rejects with `StartupError` when it cannot start; then nothing is left running. */
export async function startGateway(config: Config, log: Logger): Promise<RunningGateway> {
  const posture = postureOf(config);
  const settings = settingsOf(config, posture, VERSION);
  const parts = compose(config, settings, log);
  const fanout = new WebSocketFanout();
  let draining = false;
  let server: Server<WebSocketConnection>;
  try {
    server = listen(config, posture, parts, fanout, () => draining, log);
  } catch (error) {
    parts.stop();
    await parts.engine.close();
    throw startupErrorOf(error, posture.host, config.port);
  }
  fanout.attach(server);
  const tidying = tidyAfterRush(
    systemClock,
    () => parts.changes(),
    () => Bun.gc(true),
  );
  const url = `http://${posture.host.includes(":") ? `[${posture.host}]` : posture.host}:${server.port}`;
  log.info("listening", { url, engine: config.engine, version: VERSION });
  if (posture.madeKeyFile !== undefined) process.stdout.write(welcome(url, posture, config.tokenSecret !== undefined));

  return {
    url,
    async stop() {
      draining = true;
      log.info("stopping", { drainSeconds: config.drainSeconds });
      // No new connections; those there are told, requests in flight are answered.
      const idle = server.stop();
      await parts.drain(config.drainSeconds * 1000);
      await Promise.race([idle, new Promise<void>((resolve) => systemClock.after(ANSWER_MS, resolve))]);
      await server.stop(true);
      tidying.cancel();
      parts.stop();
      await parts.engine.close();
      log.info("stopped");
    },
  };
}

function listen(
  config: Config,
  posture: Posture,
  parts: Composition,
  fanout: WebSocketFanout,
  draining: () => boolean,
  log: Logger,
): Server<WebSocketConnection> {
  const http = createHttp({
    control: parts.control,
    keys: posture.keys,
    log,
    health: () => (draining() ? { ready: false, reason: "the server is going away" } : parts.engine.health()),
    limits: config,
    assets: demoAssets(posture.demo),
    version: VERSION,
  });
  const mounts = createMounts({
    gateway: parts.gateway,
    fanout,
    originAllowed: originCheck(config.origins, posture.loopback, posture.hasTokens),
    depthMax: config.depthMax,
    channelsMax: config.subscriptionsMax,
    draining,
  });
  return Bun.serve<WebSocketConnection>({
    port: config.port,
    hostname: posture.host,
    // Left out, the runtime shares the port: a second server would start in silence and get every other client (measured).
    reusePort: false,
    development: false,
    // Keep-alive connections of backends; long connections are the core's to watch.
    idleTimeout: 120,
    // Ours is counted while reading and answers in JSON; the runtime's is a second fence.
    maxRequestBodySize: config.bodyBytesMax * 2,
    websocket: webSocketHandler(parts.gateway, config.messageBytesMax),
    fetch(request, server) {
      const mount = mounts.find(splitUrl(request.url).path);
      return mount === undefined ? http(request) : mount(request, server);
    },
  });
}

function startupErrorOf(error: unknown, host: string, port: number): unknown {
  const { code, message } = error as { code?: string; message?: string };
  const where = `${host}:${port}`;
  if (code === "EADDRINUSE") {
    return new StartupError(
      `port: ${where} is in use by another program`,
      `stop that program, or take another port: --port ${port + 1} or LONGWIRE_PORT`,
    );
  }
  if (code === "EACCES") {
    return new StartupError(
      `port: this user may not listen on ${where}`,
      "take a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
    );
  }
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || /listen/i.test(message ?? "")) {
    return new StartupError(
      `host: cannot listen on ${where}: ${message ?? code ?? ""}`,
      "take an address of this machine, or leave `host` out",
    );
  }
  return error;
}

/** What a newcomer sees: a page to open and a line to paste. The key itself stays in its file. */
function welcome(url: string, { madeKeyFile, demo, loopback }: Posture, hasTokenSecret: boolean): string {
  const file = resolve(madeKeyFile ?? "").replaceAll("'", String.raw`'\''`);
  const key = `$(cat '${file}')`;
  const channel = demo ? "demo:lobby" : "news";
  const data = demo ? `{"name":"curl","text":"hello"}` : `"hello"`;
  const advice = hasTokenSecret
    ? "No API key is configured, so the server made one. Before going public: apiKey, see docs/configuration.md"
    : "No secrets are configured, so nobody else can reach it. Before going public: apiKey and tokenSecret, see docs/configuration.md";
  return `
Longwire serves ${loopback ? "this machine at " : ""}${url}${demo ? `\n  chat:     open ${url}/demo in two windows` : ""}
  publish:  curl ${url}/api/publish -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -d '{"channel":"${channel}","data":${data}}'

${advice}

`;
}
