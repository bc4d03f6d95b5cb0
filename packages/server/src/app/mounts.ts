/** Which path is which transport and protocol. */
import { ERRORS } from "@longwire/protocol";
import type { Server } from "bun";
import { ReplyError } from "../base/failures.ts";
import { failureAnswer } from "../http/answers.ts";
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

export type Mount = (request: Request, server: Server<WebSocketConnection>) => Response | undefined;

/** Long connections by path. */
export function createMounts(parts: MountParts): ReadonlyMap<string, Mount> {
  const native = nativeProtocol(parts.depthMax);
  const bare = dataProtocol(parts.depthMax);
  return new Map([["/ws", webSocketMount(parts, (query) => (wantsBare(query) ? bare : native))]]);
}

function wantsBare(query: string): boolean {
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
      const origin = request.headers.get("origin");
      if (!parts.originAllowed(origin, request.headers.get("host"))) {
        throw new ReplyError("forbidden", `pages from ${origin ?? ""} may not connect; add the origin to \`origins\``);
      }
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

function asksForUpgrade(request: Request): boolean {
  const tokens = request.headers.get("connection")?.split(",") ?? [];
  return tokens.some((token) => token.trim().toLowerCase() === "upgrade");
}
