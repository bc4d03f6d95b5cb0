/** Which path is which transport and protocol. */
import { ERRORS } from "@longwire/protocol";
import type { Server } from "bun";
import { ReplyError } from "../base/failures.ts";
import { failureAnswer, methodAnswer } from "../http/answers.ts";
import { splitUrl } from "../http/router.ts";
import type { Gateway } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { dataProtocol } from "../protocols/bare.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { readHandshake } from "../transports/handshake.ts";
import { WebSocketConnection, type WebSocketFanout } from "../transports/websocket.ts";

export interface MountParts {
  readonly gateway: Gateway;
  readonly fanout: WebSocketFanout;
  readonly originAllowed: (origin: string | null, host: string | null) => boolean;
  readonly depthMax: number;
  readonly channelsMax: number;
  readonly draining: () => boolean;
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
  const native = nativeProtocol(parts.depthMax);
  const data = dataProtocol(parts.depthMax);
  /** By the whole path; a path that ends with `/` takes one more segment. */
  const mounts = new Map<string, Mount>([
    ["/ws", webSocketMount(parts, (query) => (wantsData(query) ? data : native))],
  ]);
  return {
    find(path) {
      const mount = mounts.get(path);
      if (mount !== undefined) return (request, server) => mount(request, server, "");
      const end = path.lastIndexOf("/") + 1;
      const deep = mounts.get(path.slice(0, end));
      if (deep === undefined || end === path.length) return undefined;
      return (request, server) => deep(request, server, path.slice(end));
    },
  };
}

function wantsData(query: string): boolean {
  return query !== "" && new URLSearchParams(query).get("frames") === "data";
}

function webSocketMount(parts: MountParts, protocolOf: (query: string) => Protocol): Mount {
  return (request, server) => {
    try {
      const { query } = splitUrl(request.url);
      const handshake = readHandshake(query, parts.channelsMax);
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
        const { code } = ERRORS.method;
        const error = { code, message: "this is a WebSocket endpoint: connect with ws:// or wss://" };
        return Response.json({ error }, { status: 426, headers: { upgrade: "websocket", connection: "Upgrade" } });
      }
      requireOrigin(parts, request);
      if (parts.draining()) throw new ReplyError("unavailable", "the server is going away");
      const connection = new WebSocketConnection(parts.fanout, protocolOf(query), handshake);
      // The runtime looks at key and version, not at `Connection`.
      if (asksForUpgrade(request) && server.upgrade(request, { data: connection })) return undefined;
      throw new ReplyError("badField", "the WebSocket handshake is not valid (RFC 6455 section 4.2.1)");
    } catch (error) {
      if (error instanceof ReplyError) return failureAnswer(error);
      throw error;
    }
  };
}

function requireOrigin(parts: MountParts, request: Request): void {
  const origin = request.headers.get("origin");
  if (parts.originAllowed(origin, request.headers.get("host"))) return;
  throw new ReplyError("forbidden", `pages from ${origin ?? ""} may not connect; add the origin to \`origins\``);
}

function asksForUpgrade(request: Request): boolean {
  const tokens = request.headers.get("connection")?.split(",") ?? [];
  return tokens.some((token) => token.trim().toLowerCase() === "upgrade");
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
