/**
 * The servers that are measured, each behind the same few facts: its processes, how a client subscribes, how one
 * publishes over HTTP.
 */
import { createHmac } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { join } from "node:path";

import type { Bench, PeerName } from "./bench.ts";
import type { Child } from "./children.ts";
import type { Subscription } from "./native.ts";
import { subscribedOver } from "./transports.ts";

const START_TIMEOUT_MS = 20_000;
const READY_POLL_MS = 2;
export const API_KEY = "bench-key-0123456789abcdef0123456789abcdef";
const TOKEN_SECRET = "bench-secret-0123456789abcdef0123456789abcdef";
/** For another server command, such as the compiled executable. */
const COMMAND_VARIABLE = "BENCH_SERVER_COMMAND";

export interface Publication {
  readonly path: string;
  readonly header?: string;
  /** The request's body for a channel and its data, both as they stand in JSON text. */
  readonly body: (channel: string, data: string) => string;
}

export interface MeasuredServer {
  readonly name: string;
  readonly child: Child;
  readonly port: number;
  /** Everybody subscribes to the channel `bench`. */
  readonly subscription: Subscription;
  readonly publication: Publication;
}

export type Engine = "memory" | "sqlite" | "redis";

/** Where a server is, and stays when it is started anew. */
export interface Place {
  readonly port: number;
  readonly tcpPort: number;
  readonly dataDir: string;
}

export interface LongwireServer extends MeasuredServer {
  readonly place: Place;
  /** Of the listener with the framing `json`. */
  readonly tcpPort: number;
  readonly startSeconds: number;
}

const plainPublication: Publication = {
  path: "/publish",
  body: (channel, data) => `{"channel":"${channel}","data":${data}}`,
};

async function startHelper(bench: Bench, name: string, command: readonly string[]): Promise<[Child, number]> {
  const child = bench.children.start(name, command);
  return [child, Number(await child.line("PORT", START_TIMEOUT_MS))];
}

export async function startWriteLoop(bench: Bench): Promise<MeasuredServer> {
  const [child, port] = await startHelper(bench, "write loop", [bench.tools.writeloop]);
  return {
    name: "write loop (C)",
    child,
    port,
    subscription: { path: "/" },
    publication: { path: "/", body: (_channel, data) => data },
  };
}

/** Peers that are Node.js programs of ours. */
export type ProgramPeer = Exclude<PeerName, "nchan">;

const PEERS: Readonly<Record<ProgramPeer, { name: string; file: string; subscription: Subscription }>> = {
  ws: { name: "ws", file: "ws.mjs", subscription: { path: "/" } },
  socketio: {
    name: "Socket.IO",
    file: "socketio.mjs",
    // Engine.IO 4 over WebSocket alone: "40" joins the default namespace, `40{"sid":…}` is the answer.
    subscription: { path: "/socket.io/?EIO=4&transport=websocket", first: "40", ready: "40{" },
  },
};

export async function startPeer(bench: Bench, peer: ProgramPeer): Promise<MeasuredServer> {
  const { name, file, subscription } = PEERS[peer];
  const [child, port] = await startHelper(bench, name, ["node", join(import.meta.dir, "peers", file)]);
  return { name, child, port, subscription, publication: plainPublication };
}

/** The yardstick of the publish API: a Bun server that parses and answers JSON and does nothing else. */
export async function startHandler(bench: Bench): Promise<MeasuredServer> {
  const file = join(import.meta.dir, "peers", "handler.ts");
  const [child, port] = await startHelper(bench, "bare handler", [process.execPath, file]);
  return { name: "bare Bun handler", child, port, subscription: { path: "/" }, publication: plainPublication };
}

export function newPlace(bench: Bench): Place {
  return { port: freePort(), tcpPort: freePort(), dataDir: mkdtempSync(join(bench.folder, "data-")) };
}

/** `more` are further flags of `serve`. */
export async function startLongwire(
  bench: Bench,
  engine: Engine,
  more: Readonly<Record<string, string>> = {},
  place = newPlace(bench),
): Promise<LongwireServer> {
  const { port, tcpPort, dataDir } = place;
  const flags = {
    ...more,
    "tcp-port": `${tcpPort}`,
    port: `${port}`,
    "data-dir": dataDir,
    engine,
    "api-key": API_KEY,
    "token-secret": TOKEN_SECRET,
    "channels-subscribe": "everybody",
    "log-level": "warn",
  };
  const main = join(import.meta.dir, "..", "packages/server/src/cli/main.ts");
  const program = process.env[COMMAND_VARIABLE]?.split(" ") ?? [process.execPath, main];
  const command = [...program, "serve", ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`)];
  const begun = performance.now();
  const child = bench.children.start("Longwire", command);
  await waitUntilReady(child, port);
  return {
    name: `Longwire (${engine})`,
    child,
    place,
    port,
    tcpPort,
    startSeconds: (performance.now() - begun) / 1000,
    subscription: subscribedOver("websocket", { tcpPort }, ["bench"]),
    publication: {
      path: "/api/publish",
      header: `Authorization: Bearer ${API_KEY}`,
      body: plainPublication.body,
    },
  };
}

function tokenPart(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** A JWT (HS256) for a user, good for an hour. */
export function userToken(user: string): string {
  const expires = Math.floor(Date.now() / 1000) + 3600;
  const signed = `${tokenPart({ alg: "HS256", typ: "JWT" })}.${tokenPart({ sub: user, exp: expires })}`;
  return `${signed}.${createHmac("sha256", TOKEN_SECRET).update(signed).digest("base64url")}`;
}

/** JSON data of about this many bytes whose time of sending the instrument fills in. */
export function stampedData(bytes: number): string {
  const digits = process.hrtime.bigint().toString().length;
  const padding = Math.max(0, bytes - digits - '{"t":,"p":""}'.length);
  return `{"t":%t,"p":"${"x".repeat(padding)}"}`;
}

export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = server;
  server.stop(true);
  return port;
}

async function waitUntilReady(child: Child, port: number): Promise<void> {
  const until = performance.now() + START_TIMEOUT_MS;
  let last = "no answer";
  while (performance.now() < until) {
    if (!child.running) throw new Error(`Longwire ended while starting: ${child.errors}`);
    try {
      const response = await fetch(`http://127.0.0.1:${port}/readyz`);
      if (response.status === 200) return;
      last = `status ${response.status}`;
    } catch (error) {
      last = String(error);
    }
    await Bun.sleep(READY_POLL_MS);
  }
  throw new Error(`Longwire is not ready after ${START_TIMEOUT_MS} ms: ${last}\n${child.errors}`);
}
