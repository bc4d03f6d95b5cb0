/**
 * A whole gateway inside the test's process, on a free loopback port, with its data in a temporary folder.
 *
 *     const server = await startServer({ engine: "memory", "queue-bytes-max": "262144" });   // flags of the command line
 *     const bob = await connectClient(server.url, { token: await server.token({ sub: "bob" }) });
 *     await server.publish("room:1", { text: "hi" });
 *     await server.stop();                     // graceful; removes the folder unless it was given
 *
 * Both secrets are configured, anybody may subscribe, nothing is logged, rates are not limited; flags change that. `restart()` stops and starts
 * again on the same ports and data.
 *
 * The environment says on what a suite runs: ENGINE (where a test does not choose it: memory), WORKERS (processes of a server, in
 * place of the test's own one) and, with ENGINE=redis, NODES (servers on one Redis behind a balancer):
 *
 *     WORKERS=2 npm test -- transports
 *     ENGINE=redis NODES=2 npm test -- transports
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Json } from "@longwire/protocol";
import { SignJWT } from "jose";
import { type RunningGateway, startGateway } from "../../src/app/serve.ts";
import { type Launch, type RunningSupervisor, startSupervisor } from "../../src/app/supervisor.ts";
import { createLogger, type Logger } from "../../src/base/log.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import { startNodes } from "./nodes.ts";
import { type RedisServer, startRedis } from "./redis.ts";

export const MAIN = resolve(import.meta.dir, "../../src/cli/main.ts");

export const API_KEY = "test-api-key";
export const TOKEN_SECRET = "a-secret-of-thirty-two-characters";

export type Flags = Readonly<Record<string, string>>;

/** The suites' own choice, where a test has none. */
export const SUITE = {
  engine: process.env["ENGINE"] || "memory",
  workers: Number(process.env["WORKERS"] || 1),
  nodes: Number(process.env["NODES"] || 1),
} as const;

// A run on something else than its environment says would prove nothing.
if (SUITE.nodes > 1 && (SUITE.engine !== "redis" || SUITE.workers > 1))
  throw new Error("NODES goes with ENGINE=redis, and without WORKERS");

/** How many processes, or gateways in place of them, answer for one server: of what each keeps to itself there may be so many. */
export const PROCESSES = Math.max(SUITE.workers, SUITE.nodes);

const DEFAULTS: Flags = {
  port: "0",
  "tcp-port": "0",
  host: "127.0.0.1",
  engine: SUITE.engine,
  workers: String(SUITE.workers),
  "api-key": API_KEY,
  "token-secret": TOKEN_SECRET,
  "channels-subscribe": "everybody",
  "channels-presence": "everybody",
  "channels-history": "everybody",
  "log-level": "silent",
  "drain-seconds": "2",
  "token-grace-seconds": "0",
  // A test that means a limit sets it; the others shall not depend on how fast the machine is.
  "commands-per-second": "off",
  "bytes-per-second": "off",
  "publishes-per-second": "off",
  "handshakes-per-second": "off",
  "loop-lag-ms-max": "off",
};

export interface PublishResult {
  readonly channel: string;
  readonly epoch: string;
  readonly offset: number;
  readonly online: boolean;
  readonly subscribers: number;
}

export interface TestServer {
  readonly url: string;
  /** Ports of raw TCP: the one in lines of JSON, then those of the flag `tcp-listeners`. */
  readonly tcpPorts: readonly number[];
  readonly dataDir: string;
  /** The certificate, where the flag `tls-cert` names one. */
  readonly ca: string | undefined;
  api(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  /** Publishes by HTTP; throws when it is not acknowledged. */
  publish(channel: string, data: Json, extra?: Readonly<Record<string, unknown>>): Promise<PublishResult>;
  token(claims: Readonly<Record<string, unknown>>): Promise<string>;
  stop(): Promise<void>;
  restart(flags?: Flags): Promise<void>;
  /** As SIGHUP does, with flags that have changed; resolves when all its processes have them. Rejects where they cannot be used. */
  reload(flags?: Flags): Promise<void>;
}

/** Arguments for the command line: defaults, then `flags`. One with an empty value is left out. */
export function argumentsOf(flags: Flags): string[] {
  const all = Object.entries({ ...DEFAULTS, ...flags }).filter(([, value]) => value !== "");
  return all.map(([key, value]) => `--${key}=${value}`);
}

/** A token signed with the test's secret; `exp` is Unix seconds. */
export function signToken(claims: Readonly<Record<string, unknown>>, secret: string = TOKEN_SECRET): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret));
}

/** Calls of the HTTP API with the test's key. */
export function apiOf(url: () => string, ca?: () => string | undefined): Pick<TestServer, "api" | "publish"> {
  const api: TestServer["api"] = async (method, path, body) => {
    const response = await fetch(`${url()}${path}`, {
      method,
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(ca?.() !== undefined && { tls: { ca: ca() } }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
  };
  return {
    api,
    async publish(channel, data, extra) {
      const { status, body } = await api("POST", "/api/publish", { channel, data, ...extra });
      const [result] = (body as { results?: PublishResult[] }).results ?? [];
      if (status !== 200 || result === undefined) throw new Error(`not published: ${status} ${JSON.stringify(body)}`);
      return result;
    },
  };
}

let redis: Promise<RedisServer> | undefined;
let prefixes = 0;

/** Where a server with engine redis keeps what it keeps: one Redis for all of a test file, in which each server is alone. It ends with the process. */
export async function redisFlags({ engine = SUITE.engine, ...flags }: Flags): Promise<Flags> {
  if (engine !== "redis" || flags["redis-urls"] !== undefined) return {};
  redis ??= startRedis();
  return { "redis-urls": (await redis).url, "redis-prefix": `test${++prefixes}` };
}

/** How the supervisor of a test starts its workers: as the command line does. */
function launchOf(flags: Flags, configOf: (more: Flags) => Config): Launch {
  return {
    command: [process.execPath, MAIN, "serve", ...argumentsOf(flags)],
    env: { PATH: process.env["PATH"] },
    logFormat: "json",
    read: () => configOf({}),
  };
}

/** `log` in place of lines on standard output. */
export async function startServer(given: Flags = {}, log?: Logger): Promise<TestServer> {
  const dataDir = given["data-dir"] ?? mkdtempSync(join(tmpdir(), "longwire-test-"));
  const flags: Flags = { ...given, "data-dir": dataDir, ...(await redisFlags(given)) };
  const configOf = (more: Flags): Config =>
    loadConfig({ argv: argumentsOf({ ...flags, ...more }), env: {}, cwd: dataDir }).config;
  const start = (more: Flags): Promise<RunningGateway | RunningSupervisor> => {
    const config = configOf(more);
    const logged = log ? { ...log, setLevel: () => undefined } : createLogger(config.logLevel, "json");
    if (config.engine === "redis" && SUITE.nodes > 1) return startNodes(SUITE.nodes, config, logged);
    return config.workers === 1
      ? startGateway(config, logged)
      : startSupervisor(config, launchOf({ ...flags, ...more }, configOf), logged);
  };
  const caOf = (): string | undefined => {
    const file = flags["tls-cert"];
    return file === undefined ? undefined : readFileSync(file, "utf8");
  };
  let gateway = await start({});
  return {
    get url() {
      return gateway.url;
    },
    get tcpPorts() {
      return gateway.tcpPorts;
    },
    dataDir,
    get ca() {
      return caOf();
    },
    ...apiOf(() => gateway.url, caOf),
    token: signToken,
    async reload(more = {}) {
      gateway.reload(configOf(more));
      if ("reloaded" in gateway) await gateway.reloaded();
    },
    async stop() {
      await gateway.stop();
      if (given["data-dir"] === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
    async restart(more = {}) {
      const { port } = new URL(gateway.url);
      const [tcpPort] = gateway.tcpPorts;
      await gateway.stop();
      gateway = await start({ port, ...(flags["tcp-port"] !== "off" && { "tcp-port": String(tcpPort) }), ...more });
    },
  };
}
