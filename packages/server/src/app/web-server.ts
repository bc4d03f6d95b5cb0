/** A port for HTTP and WebSockets. A process may have several, each with a fanout of its own. */
import type { Server } from "bun";
import { type Config, environmentName, flagName } from "../config/schema.ts";
import type { Gateway } from "../ports/gateway.ts";
import { type WebSocketConnection, type WebSocketFanout, webSocketHandler } from "../transports/websocket.ts";
import { portErrorOf } from "./port-error.ts";

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
      // Counted from the beginning of a connection, whatever drips in: this ends half a TLS handshake and half a request (measured). Backends get
      // longer once their key is known; long connections are the core's to watch.
      idleTimeout: config.requestSeconds,
      // Ours is counted while reading and answers in JSON; the runtime's is a second fence.
      maxRequestBodySize: config.bodyBytesMax * 2,
      websocket: webSocketHandler(gateway, config.messageBytesMax, config.perMessageDeflate),
      fetch,
    });
  } catch (error) {
    const port = config[option];
    const elsewhere = `${flagName([option])} ${port + 1} or ${environmentName([option])}`;
    throw portErrorOf(error, { host, port, option, elsewhere });
  }
  fanout.attach(server);
  return server;
}
