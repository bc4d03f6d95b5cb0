/** How a client of Longwire subscribes over each of its transports. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Subscription } from "./native.ts";

export const TRANSPORTS = ["websocket", "raw", "stream", "sse", "poll", "tcp"] as const;
export type Transport = (typeof TRANSPORTS)[number];

export const TRANSPORT_NAMES: Readonly<Record<Transport, string>> = {
  websocket: "WebSocket",
  raw: "bare WebSocket",
  stream: "HTTP stream",
  sse: "SSE",
  poll: "long poll",
  tcp: "TCP (json)",
};

/** The longest that the default configuration allows: an idle client should poll seldom. */
const POLL_WAIT_SECONDS = 60;
const SUBSCRIBED = '"type":"subscribed"';

/** What a client asks for. */
interface Client {
  readonly channels: readonly string[];
  readonly token?: string;
}

interface Ports {
  readonly tcpPort: number;
}

function query({ channels, token }: Client): string {
  return `channels=${channels.join(",")}${token === undefined ? "" : `&token=${token}`}`;
}

/** One channel has its place in the path of a bare WebSocket. */
function bareTarget({ channels, token }: Client): string {
  if (channels.length !== 1) throw new Error("a bare WebSocket has one channel");
  return `${channels[0]}${token === undefined ? "" : `?token=${token}`}`;
}

function firstLines({ channels, token }: Client): string {
  const connect = token === undefined ? { type: "connect" } : { type: "connect", token };
  const commands = [connect, ...channels.map((channel) => ({ type: "subscribe", channel }))];
  return commands.map((command) => `${JSON.stringify(command)}\n`).join("");
}

/** The same for all connections, or with `%s` where each one's own value stands. */
function subscription(transport: Transport, { tcpPort }: Ports, target: string, channelCount: number): Subscription {
  const ready = { ready: SUBSCRIBED, readyCount: channelCount };
  switch (transport) {
    case "websocket":
      return { path: `/ws?${target}`, ...ready };
    case "raw":
      return { path: `/raw/${target}` };
    case "stream":
      return { reading: "lines", path: `/stream?${target}`, ...ready };
    case "sse":
      return { reading: "sse", path: `/sse?${target}`, ...ready };
    case "poll":
      return { reading: "poll", path: `/poll?${target}&wait=${POLL_WAIT_SECONDS}` };
    case "tcp":
      return { reading: "tcp", path: "/", port: tcpPort, first: target, ...ready };
  }
}

function target(transport: Transport, client: Client): string {
  if (transport === "tcp") return firstLines(client);
  return transport === "raw" ? bareTarget(client) : query(client);
}

/** All connections subscribe to the same channels, as nobody. */
export function subscribedOver(transport: Transport, ports: Ports, channels: readonly string[]): Subscription {
  return subscription(transport, ports, target(transport, { channels }), channels.length);
}

/** Connection n is the n-th client; the clients have the same number of channels. */
export function subscribedOverEach(
  transport: Transport,
  ports: Ports,
  clients: readonly Client[],
  folder: string,
): Subscription {
  const valuesFile = join(mkdtempSync(join(folder, "clients-")), "clients");
  // A line of the file is one value; a tab in it stands for a line end.
  writeFileSync(valuesFile, clients.map((client) => `${target(transport, client).replaceAll("\n", "\t")}\n`).join(""));
  return { ...subscription(transport, ports, "%s", clients[0]?.channels.length ?? 0), valuesFile };
}
