/** Server-Sent Events: `GET /sse?channels=…` and `GET /sse/<channel>`, for any EventSource (SPEC.md, group ES). */
import { remedyOf } from "@longwire/protocol";
import type { Server } from "bun";
import { Disconnect } from "../base/failures.ts";
import type { Turn } from "../base/turn.ts";
import type { Gateway } from "../ports/gateway.ts";
import { takesGzip } from "../wire/gzip.ts";
import { COMMENT, eventText, idText, retryText } from "../wire/sse.ts";
import {
  answering,
  asksForOne,
  flagOf,
  type OneWayProtocol,
  type OpeningLimits,
  readOpening,
  refusalAnswer,
  requireCursorRoom,
} from "./opening.ts";
import { type RequestViewer, withView } from "./request-view.ts";
import type { ForwardedReader } from "./client-address.ts";
import { framedWith, SharedWrites, streamConnection, type StreamKind } from "./stream.ts";
import { TurnFanout } from "./turn-fanout.ts";

export interface SseParts {
  readonly gateway: Gateway;
  readonly turn: Turn;
  readonly limits: OpeningLimits;
  readonly compression: boolean;
  /** How long a browser waits before it connects again. */
  readonly retryMs: number;
  readonly draining: () => boolean;
  readonly viewer: RequestViewer | undefined;
  /** Where proxies are trusted. */
  readonly forwarded: ForwardedReader | undefined;
  /** Event streams of native frames, or of bare data; with publications' names as types or without. */
  readonly protocolOf: (options: { readonly data: boolean; readonly named: boolean }) => OneWayProtocol;
}

export type SseTransport = (
  request: Request,
  server: Server<unknown>,
  query: string,
  tail: string,
) => Promise<Response>;

const HEADERS = { "content-type": "text/event-stream; charset=utf-8" };

const joined = framedWith("");

const encoder = new TextEncoder();

export function sseTransport(parts: SseParts): SseTransport {
  const { gateway, turn, retryMs } = parts;
  const kindOf = (gzip: boolean): StreamKind => ({
    gateway,
    fanout: new TurnFanout(turn, joined),
    gzip,
    shared: new SharedWrites(),
    heartbeat: encoder.encode(COMMENT),
    cursorFrame: (cursor) => encoder.encode(idText(cursor)),
  });
  const plain = kindOf(false);
  const gzipped = kindOf(true);
  const refusal = (goodbye: Disconnect): Response =>
    remedyOf(goodbye.code) === "retry" ? laterAnswer(goodbye, retryMs) : refusalAnswer(goodbye);

  return (request, server, query, tail) =>
    answering(async () => {
      if (parts.draining()) return refusal(new Disconnect("shutdown"));
      const opening = await readOpening(request, query, parts.limits, {
        ...(tail !== "" && { channel: tail }),
        lastEventId: request.headers.get("last-event-id"),
      });
      requireCursorRoom(opening);
      const { handshake, lines, parameters, quiet } = opening;
      const options = { data: parameters.get("frames") === "data", named: flagOf(parameters, "named") };
      const { loud, quiet: silent } = parts.protocolOf(options);
      const protocol = quiet ? silent : loud;
      // Whoever is somebody has a personal channel, a session that is taken up the channels it was given, and the application may say who it
      // is: with a token, a session, where it is asked, or with several names there may be more than one from the start. A cursor of
      // the first one alone would let go of the positions that the client came with.
      const isAlone = parts.viewer === undefined && asksForOne(opening);
      const takes = parts.compression && takesGzip(request.headers.get("accept-encoding"));
      const connection = streamConnection(takes ? gzipped : plain, server, request, parts.forwarded);
      connection.deliver(encoder.encode(retryText(retryMs)));
      const session = gateway.open(
        connection,
        isAlone ? protocol : (protocol.several ?? protocol),
        withView(handshake, parts.viewer, request, "sse", query),
      );
      connection.session = session;
      for (const line of lines) gateway.receive(session, line);
      return connection.answer(HEADERS, refusal);
    });
}

/**
 * A refusal that passes. An EventSource that sees another status than 200 never comes back (WHATWG HTML,
 * 9.2.3), so it is told in an event, and when to try again.
 */
export function laterAnswer({ code, message, reconnect, afterMs }: Disconnect, retryMs: number): Response {
  const frame = {
    type: "disconnect",
    code,
    reason: message,
    reconnect,
    ...(afterMs !== undefined && { after: afterMs }),
  };
  const text = retryText(afterMs ?? retryMs) + eventText(JSON.stringify(frame));
  return new Response(text, { headers: { ...HEADERS, "cache-control": "no-store" } });
}
