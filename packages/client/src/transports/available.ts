/** The transports that this platform has the means for. */
import type { Settings } from "../options.ts";
import { pollTransport } from "./poll.ts";
import { sseTransport } from "./sse.ts";
import { streamTransport } from "./stream.ts";
import type { Transport } from "./transport.ts";
import { webSocketTransport } from "./websocket.ts";

/** In the order asked for. */
export function availableTransports(settings: Settings): readonly Transport[] {
  const { WebSocket, EventSource, fetch, AbortController } = settings;
  const http = fetch && AbortController && { ...settings, fetch, AbortController };
  const found = {
    websocket: WebSocket && webSocketTransport(WebSocket),
    stream: http && streamTransport(http),
    sse: http && EventSource && sseTransport(http, EventSource),
    poll: http && pollTransport(http),
  };
  const transports = settings.transports.flatMap((name) => found[name] ?? []);
  if (transports.length === 0) throw new TypeError("neither WebSocket nor fetch here");
  return transports;
}
