/** Upgrades: requests that become WebSockets, whatever is then said on them. */
import { ERRORS } from "@longwire/protocol";
import type { Server } from "bun";
import { ReplyError } from "../base/failures.ts";
import { failureAnswer } from "../http/answers.ts";
import { splitUrl } from "../http/router.ts";
import type { Handshake } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { WebSocketConnection, type WebSocketFanout } from "../transports/websocket.ts";

export interface UpgradeParts {
  readonly fanout: WebSocketFanout;
  readonly originAllowed: (origin: string | null, host: string | null) => boolean;
  readonly draining: () => boolean;
}

/** What will be said on the connection, and what its request has said already. */
export interface Terms {
  readonly protocol: Protocol;
  readonly handshake: Handshake;
}

/** `hint`: what somebody is told who opens the address in a browser. */
export function webSocketMount(
  parts: UpgradeParts,
  hint: string,
  read: (query: string, tail: string) => Terms,
): (request: Request, server: Server<WebSocketConnection>, tail: string) => Response | undefined {
  return (request, server, tail) => {
    try {
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
        const error = { code: ERRORS.method.code, message: hint };
        return Response.json({ error }, { status: 426, headers: { upgrade: "websocket", connection: "Upgrade" } });
      }
      requireOrigin(parts, request);
      if (parts.draining()) throw new ReplyError("unavailable", "the server is going away");
      const { protocol, handshake } = read(splitUrl(request.url).query, tail);
      const connection = new WebSocketConnection(parts.fanout, protocol, handshake);
      // The runtime looks at key and version, not at `Connection`.
      if (asksForUpgrade(request) && server.upgrade(request, { data: connection })) return undefined;
      throw new ReplyError("badField", "the WebSocket handshake is not valid (RFC 6455 section 4.2.1)");
    } catch (error) {
      if (error instanceof ReplyError) return failureAnswer(error);
      throw error;
    }
  };
}

export function requireOrigin({ originAllowed }: Pick<UpgradeParts, "originAllowed">, request: Request): void {
  const origin = request.headers.get("origin");
  if (originAllowed(origin, request.headers.get("host"))) return;
  throw new ReplyError("forbidden", `pages from ${origin ?? ""} may not connect; add the origin to \`origins\``);
}

function asksForUpgrade(request: Request): boolean {
  const tokens = request.headers.get("connection")?.split(",") ?? [];
  return tokens.some((token) => token.trim().toLowerCase() === "upgrade");
}
