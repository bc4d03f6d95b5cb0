/** Which path is which transport and protocol. */
import type { Server } from "bun";
import { ReplyError } from "../base/failures.ts";
import { failureAnswer, methodAnswer } from "../http/answers.ts";
import type { Gateway } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { BareProtocol, dataProtocol } from "../protocols/bare.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { deflatedProtocol } from "../protocols/deflated.ts";
import { readChannelHandshake, readHandshake } from "../transports/handshake.ts";
import type { WebSocketConnection } from "../transports/websocket.ts";
import { presetMount } from "./presets.ts";
import { requireOrigin, type UpgradeParts, webSocketMount } from "./upgrade.ts";

export interface MountParts extends UpgradeParts {
  readonly gateway: Gateway;
  readonly depthMax: number;
  readonly channelsMax: number;
  readonly compression: boolean;
  /** Whether plain WebSockets at `/` are in the chat of the preset. */
  readonly ratchet: boolean;
}

type WebServer = Server<WebSocketConnection>;

/** `tail`: the rest of the path, still percent-encoded, where the mount takes one. */
export type Mount = (
  request: Request,
  server: WebServer,
  tail: string,
) => Response | undefined | Promise<Response | undefined>;

export interface Mounts {
  find(path: string): ((request: Request, server: WebServer) => ReturnType<Mount>) | undefined;
}

/** Long connections by path. */
export function createMounts(parts: MountParts): Mounts {
  /** By the whole path; a path that ends with `/` takes one more segment. */
  const mounts = new Map<string, Mount>([
    ["/ws", nativeMount(parts)],
    ["/raw/", rawMount(parts)],
  ]);
  if (parts.ratchet) mounts.set("/", presetMount(parts, "ratchet"));
  return {
    find(path) {
      const mount = mounts.get(path);
      if (mount !== undefined) return (request, server) => mount(request, server, "");
      const end = path.lastIndexOf("/") + 1;
      // `/` itself takes no segment.
      const deep = end > 1 && end < path.length ? mounts.get(path.slice(0, end)) : undefined;
      if (deep === undefined) return undefined;
      return (request, server) => deep(request, server, path.slice(end));
    },
  };
}

function nativeMount(parts: MountParts): Mount {
  const native = nativeProtocol(parts.depthMax);
  const data = dataProtocol(parts.depthMax);
  const deflated = parts.compression ? deflatedProtocol(native) : native;
  const protocolOf = (query: string): Protocol => {
    if (query === "") return native;
    const parameters = new URLSearchParams(query);
    if (parameters.get("frames") === "data") return data;
    return parameters.get("compress") === "deflate" ? deflated : native;
  };
  return webSocketMount(parts, "this is a WebSocket endpoint: connect with ws:// or wss://", (query) => ({
    protocol: protocolOf(query),
    handshake: readHandshake(query, parts.channelsMax),
  }));
}

function rawMount(parts: MountParts): Mount {
  const hint = "plain WebSockets for this channel are taken here: connect with ws:// or wss://";
  return webSocketMount(parts, hint, (query, tail) => {
    const handshake = readChannelHandshake(query, tail);
    return { protocol: new BareProtocol(handshake.channels[0] ?? "", true), handshake };
  });
}

/** Requests of pages: from allowed origins, with an answer that such a page may read. */
export function httpMount(
  parts: MountParts,
  methods: readonly string[],
  serve: (request: Request, server: WebServer, tail: string) => Promise<Response>,
): Mount {
  return async (request, server, tail) => {
    const origin = request.headers.get("origin");
    try {
      requireOrigin(parts, request);
      if (request.method === "OPTIONS") return readableBy(origin, preflightAnswer(methods));
      if (!methods.includes(request.method)) return methodAnswer(request.method, methods.join(", "));
      return readableBy(origin, await serve(request, server, tail));
    } catch (error) {
      if (error instanceof ReplyError) return readableBy(error.status === 403 ? null : origin, failureAnswer(error));
      throw error;
    }
  };
}

/** A day: the browser's own limit is less. */
const PREFLIGHT_SECONDS = 86_400;

function preflightAnswer(methods: readonly string[]): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": methods.join(", "),
      "access-control-allow-headers": "content-type, authorization, last-event-id",
      "access-control-max-age": String(PREFLIGHT_SECONDS),
    },
  });
}

function readableBy(origin: string | null, response: Response): Response {
  if (origin !== null) {
    response.headers.set("access-control-allow-origin", origin);
    response.headers.append("vary", "origin");
  }
  return response;
}
