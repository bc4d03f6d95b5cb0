/** A port for HTTP and WebSockets. A process may have several, each with a fanout of its own. */
import type { Server } from "bun";
import { StartupError } from "../base/failures.ts";
import { type Config, environmentName, flagName } from "../config/schema.ts";
import type { Gateway } from "../ports/gateway.ts";
import { type WebSocketConnection, type WebSocketFanout, webSocketHandler } from "../transports/websocket.ts";

export interface WebServerParts {
  readonly config: Config;
  readonly host: string;
  /** The option that names the port. */
  readonly option: "port" | "swoolePort";
  readonly gateway: Gateway;
  readonly fanout: WebSocketFanout;
  readonly fetch: (
    request: Request,
    server: Server<WebSocketConnection>,
  ) => Response | undefined | Promise<Response | undefined>;
}

/** Throws `StartupError` where the port cannot be had. */
export function openWebServer({
  config,
  host,
  option,
  gateway,
  fanout,
  fetch,
}: WebServerParts): Server<WebSocketConnection> {
  let server: Server<WebSocketConnection>;
  try {
    server = Bun.serve<WebSocketConnection>({
      port: config[option],
      hostname: host,
      // Left out, the runtime shares the port: a second server would start in silence and get every other client (measured).
      reusePort: false,
      development: false,
      // Keep-alive connections of backends; long connections are the core's to watch.
      idleTimeout: 120,
      // Ours is counted while reading and answers in JSON; the runtime's is a second fence.
      maxRequestBodySize: config.bodyBytesMax * 2,
      websocket: webSocketHandler(gateway, config.messageBytesMax, config.perMessageDeflate),
      fetch,
    });
  } catch (error) {
    throw startupErrorOf(error, host, option, config[option]);
  }
  fanout.attach(server);
  return server;
}

function startupErrorOf(error: unknown, host: string, option: "port" | "swoolePort", port: number): unknown {
  const { code, message } = error as { code?: string; message?: string };
  const where = `${host}:${port}`;
  if (code === "EADDRINUSE") {
    return new StartupError(
      `${option}: ${where} is in use by another program`,
      `stop that program, or take another port: ${flagName([option])} ${port + 1} or ${environmentName([option])}`,
    );
  }
  if (code === "EACCES") {
    return new StartupError(
      `${option}: this user may not listen on ${where}`,
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
