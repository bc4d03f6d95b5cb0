/**
 * WebSocket: one frame per text message. Handlers are `on…` properties, since that is all that adapters for devices have
 * (WeChat mini programs).
 */
/* oxlint-disable unicorn/prefer-add-event-listener -- see above */
import type { WebSocketConstructor } from "../platform.ts";
import { BROKEN, type Link, type Transport, type TransportHandlers } from "./transport.ts";

export function webSocketTransport(Socket: WebSocketConstructor): Transport {
  return { name: "websocket", open: (url, handlers) => openWebSocket(Socket, url, handlers) };
}

function openWebSocket(Socket: WebSocketConstructor, url: string, handlers: TransportHandlers): Link {
  const socket = new Socket(url);
  const detach = (): void => {
    socket.onopen = socket.onmessage = socket.onclose = null;
  };
  socket.onopen = () => handlers.opened();
  socket.onmessage = (event: { readonly data: unknown }) => {
    if (typeof event.data === "string") handlers.received(event.data);
  };
  socket.onclose = (event: { readonly code?: number; readonly reason?: string }) => {
    detach();
    handlers.closed(event.code ?? BROKEN, event.reason ?? "");
  };
  // Node.js and Bun report a socket's failure as an `error` event of its own; without a listener some print it.
  socket.onerror = () => undefined;
  return {
    send: (text) => socket.send(text),
    close() {
      detach();
      socket.close();
    },
  };
}
