/** HTTP streaming: `GET` or `POST /stream`, one frame per line for as long as both sides like (SPEC.md, group HS). */
import type { Server } from "bun";
import { Disconnect } from "../base/failures.ts";
import type { Turn } from "../base/turn.ts";
import type { Gateway } from "../ports/gateway.ts";
import { takesGzip } from "../wire/gzip.ts";
import { answering, type OneWayProtocol, type OpeningLimits, readOpening, refusalAnswer } from "./opening.ts";
import { type RequestViewer, withView } from "./request-view.ts";
import type { ForwardedReader } from "./client-address.ts";
import { framedWith, SharedWrites, streamConnection, type StreamKind } from "./stream.ts";
import { TurnFanout } from "./turn-fanout.ts";

export interface HttpStreamParts {
  readonly gateway: Gateway;
  readonly turn: Turn;
  readonly limits: OpeningLimits;
  readonly compression: boolean;
  readonly draining: () => boolean;
  readonly viewer: RequestViewer | undefined;
  /** Where proxies are trusted. */
  readonly forwarded: ForwardedReader | undefined;
  /** Text without line breaks: native frames, or bare data. */
  readonly protocolOf: (options: { readonly data: boolean }) => OneWayProtocol;
}

export type HttpStreamTransport = (request: Request, server: Server<unknown>, query: string) => Promise<Response>;

const HEADERS = { "content-type": "application/x-ndjson; charset=utf-8" };

const lines = framedWith("\n");

export function httpStreamTransport(parts: HttpStreamParts): HttpStreamTransport {
  const { gateway, turn } = parts;
  const kindOf = (gzip: boolean): StreamKind => ({
    gateway,
    fanout: new TurnFanout(turn, lines),
    gzip,
    shared: new SharedWrites(),
    heartbeat: new TextEncoder().encode("\n"),
    cursorFrame: undefined,
  });
  const plain = kindOf(false);
  const gzipped = kindOf(true);

  return (request, server, query) =>
    answering(async () => {
      if (parts.draining()) return refusalAnswer(new Disconnect("shutdown"));
      const { handshake, lines, parameters, quiet } = await readOpening(request, query, parts.limits);
      const { loud, quiet: silent } = parts.protocolOf({ data: parameters.get("frames") === "data" });
      const takes = parts.compression && takesGzip(request.headers.get("accept-encoding"));
      const connection = streamConnection(takes ? gzipped : plain, server, request, parts.forwarded);
      const shown = withView(handshake, parts.viewer, request, "stream", query);
      const session = gateway.open(connection, quiet ? silent : loud, shown);
      connection.session = session;
      for (const line of lines) gateway.receive(session, line);
      return connection.answer(HEADERS, refusalAnswer);
    });
}
