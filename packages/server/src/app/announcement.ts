/** What is said when all ports are open: a line in the log, and to a newcomer a page to open and lines to paste. */
import { resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { checksTokens, type Config } from "../config/schema.ts";
import type { Capacity } from "./capacity.ts";
import type { OpenListener } from "./listeners.ts";
import type { Posture } from "./posture.ts";
import { type TlsFiles, warnOfExpiry } from "./tls.ts";
import { VERSION } from "./version.ts";

export interface Opened {
  readonly posture: Posture;
  readonly tls: TlsFiles | undefined;
  /** Numbers of the ports of HTTP and of the preset swoole, where it is on. */
  readonly web: readonly number[];
  readonly tcp: readonly Pick<OpenListener, "port" | "framing" | "channel" | "tls">[];
  readonly capacity: Capacity["shown"];
  /** How many processes serve them, where there are several. */
  readonly workers?: number;
}

export interface Addresses {
  readonly url: string;
  /** Port of the preset swoole, where it is on. */
  readonly swoolePort: number | undefined;
  /** Ports of raw TCP: that of `tcpPort`, unless it is off, then those of `tcpListeners`. */
  readonly tcpPorts: readonly number[];
}

export function announce(config: Config, opened: Opened, log: Logger): Addresses {
  const { posture, tls, capacity, workers } = opened;
  warnOfExpiry(tls, systemClock, log);
  const [port, swoolePort] = opened.web;
  const name = /^[^[].*:/.test(posture.host) ? `[${posture.host}]` : posture.host;
  const url = `${tls === undefined ? "http" : "https"}://${name}:${port}`;
  const tcp = opened.tcp.map(({ port: at, framing, channel, tls: isTls }) => ({
    port: at,
    framing,
    channel,
    tls: isTls,
  }));
  const { engine } = config;
  const certificate = tls?.shown;
  log.info("listening", { url, tcp, swoolePort, engine, workers, version: VERSION, certificate, ...capacity });
  if (posture.madeKeyFile !== undefined) {
    const tcpPort = config.tcpPort === "off" ? undefined : tcp[0]?.port;
    process.stdout.write(welcome(url, tcpPort, posture, checksTokens(config)));
  }
  return { url, swoolePort, tcpPorts: tcp.map(({ port: at }) => at) };
}

/** The key itself stays in its file. */
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
