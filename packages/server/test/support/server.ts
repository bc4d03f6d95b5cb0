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
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "@longwire/protocol";
import { SignJWT } from "jose";
import { type RunningGateway, startGateway } from "../../src/app/serve.ts";
import { createLogger, type Logger } from "../../src/base/log.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";

export const API_KEY = "test-api-key";
export const TOKEN_SECRET = "a-secret-of-thirty-two-characters";

export type Flags = Readonly<Record<string, string>>;

const DEFAULTS: Flags = {
  port: "0",
  "tcp-port": "0",
  host: "127.0.0.1",
  engine: "memory",
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
  /** As SIGHUP does, with flags that have changed. */
  reload(flags?: Flags): void;
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

/** `log` in place of lines on standard output. */
export async function startServer(flags: Flags = {}, log?: Logger): Promise<TestServer> {
  const dataDir = flags["data-dir"] ?? mkdtempSync(join(tmpdir(), "longwire-test-"));
  const configOf = (more: Flags): Config =>
    loadConfig({ argv: argumentsOf({ ...flags, "data-dir": dataDir, ...more }), env: {}, cwd: dataDir }).config;
  const start = (more: Flags): Promise<RunningGateway> => {
    const config = configOf(more);
    return startGateway(config, log ?? createLogger(config.logLevel, "json"));
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
    reload: (more = {}) => gateway.reload(configOf(more)),
    async stop() {
      await gateway.stop();
      if (flags["data-dir"] === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
    async restart(more = {}) {
      const { port } = new URL(gateway.url);
      const [tcpPort] = gateway.tcpPorts;
      await gateway.stop();
      gateway = await start({ port, ...(flags["tcp-port"] !== "off" && { "tcp-port": String(tcpPort) }), ...more });
    },
  };
}
