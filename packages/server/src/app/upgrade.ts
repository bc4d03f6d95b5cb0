/** Upgrades: requests that become WebSockets, whatever is then said on them. */
import { ERRORS } from "@longwire/protocol";
import type { Server } from "bun";
import { ReplyError } from "../base/failures.ts";
import { failureAnswer } from "../http/answers.ts";
import { splitUrl } from "../http/router.ts";
import type { Handshake } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { type CredentialReader, readOffer } from "../transports/credentials.ts";
import { type RequestViewer, withView } from "../transports/request-view.ts";
import { ForwardedWebSocketConnection, WebSocketConnection, type WebSocketFanout } from "../transports/websocket.ts";
import { type Door, throughDoor } from "./door.ts";

export interface UpgradeParts extends Door {
  readonly fanout: WebSocketFanout;
  readonly originAllowed: (origin: string | null, host: string | null) => boolean;
  readonly draining: () => boolean;
  /** Where the application is asked who connects. */
  readonly viewer: RequestViewer | undefined;
  readonly credentials: CredentialReader;
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
): (request: Request, server: Server<WebSocketConnection>, tail: string) => ReturnType<typeof throughDoor> {
  const upgrade = upgrader(parts, read);
  return (request, server, tail) => {
    try {
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
        const error = { code: ERRORS.method.code, message: hint };
        return Response.json({ error }, { status: 426, headers: { upgrade: "websocket", connection: "Upgrade" } });
      }
      requireOrigin(parts, request);
      // The runtime looks at key and version, not at `Connection`.
      if (!asksForUpgrade(request)) throw notValid();
      return throughDoor(parts, false, () => upgrade(request, server, tail));
    } catch (error) {
      if (error instanceof ReplyError) return failureAnswer(error);
      throw error;
    }
  };
}

function upgrader(
  parts: UpgradeParts,
  read: (query: string, tail: string) => Terms,
): (request: Request, server: Server<WebSocketConnection>, tail: string) => Response | undefined {
  return (request, server, tail) => {
    try {
      if (parts.draining()) throw new ReplyError("unavailable", "the server is going away");
      const { query } = splitUrl(request.url);
      const { token, answer } = readOffer(request.headers.get("sec-websocket-protocol"));
      const terms = read(query, tail);
      const { protocol } = terms;
      // The query goes first.
      const offered =
        token === undefined ? terms.handshake : { ...terms.handshake, token: terms.handshake.token ?? token };
      const handshake = parts.credentials(request, offered);
      const shown = withView(handshake, parts.viewer, request, "websocket", query);
      const address = parts.forwarded?.(request, server);
      const connection =
        address === undefined
          ? new WebSocketConnection(parts.fanout, protocol, shown)
          : new ForwardedWebSocketConnection(parts.fanout, protocol, shown, address);
      const options =
        answer === undefined
          ? { data: connection }
          : { data: connection, headers: { "sec-websocket-protocol": answer } };
      if (server.upgrade(request, options)) return undefined;
      throw notValid();
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

function notValid(): ReplyError {
  return new ReplyError("badField", "the WebSocket handshake is not valid (RFC 6455 section 4.2.1)");
}

function asksForUpgrade(request: Request): boolean {
  const tokens = request.headers.get("connection")?.split(",") ?? [];
  return tokens.some((token) => token.trim().toLowerCase() === "upgrade");
}
