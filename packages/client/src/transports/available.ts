/** The transports that this platform has the means for. */
import type { Settings } from "../options.ts";
import { pollTransport } from "./poll.ts";
import type { OneWaySettings } from "./outgoing.ts";
import { sseTransport } from "./sse.ts";
import { streamTransport } from "./stream.ts";
import type { Transport } from "./transport.ts";
import { webSocketTransport } from "./websocket.ts";

/** In the order asked for. */
export function availableTransports(settings: Settings): readonly Transport[] {
  const { WebSocket, EventSource } = settings;
  const http = settings.fetch && settings.AbortController && (settings as OneWaySettings);
  const found = {
    websocket: WebSocket && webSocketTransport(WebSocket),
    stream: http && streamTransport(http),
    sse: http && EventSource && sseTransport(http, EventSource),
    poll: http && pollTransport(http),
  };
  const transports = settings.transports.flatMap((name) => found[name] ?? []);
  if (!transports.length) throw new TypeError("no transport here");
  return transports;
}
