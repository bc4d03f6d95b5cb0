/** One-way transports by path: who may ask, with which methods, and what a page of another origin may read of the answer. */
import type { Server } from "bun";
import { type Disconnect, ReplyError } from "../base/failures.ts";
import type { Turn } from "../base/turn.ts";
import { failureAnswer, methodAnswer } from "../http/answers.ts";
import { splitUrl } from "../http/router.ts";
import type { Gateway } from "../ports/gateway.ts";
import { dataProtocol } from "../protocols/bare.ts";
import { eventStreamProtocol } from "../protocols/event-stream.ts";
import { lineProtocol } from "../protocols/lines.ts";
import { nativeProtocol } from "../protocols/native.ts";
import type { Protocol } from "../ports/protocol.ts";
import { httpStreamTransport } from "../transports/http-stream.ts";
import { longPollTransport } from "../transports/long-poll.ts";
import { sendTransport } from "../transports/send.ts";
import { type OneWayProtocol, oneWayProtocol, quietProtocol, refusalAnswer } from "../transports/opening.ts";
import { laterAnswer, sseTransport } from "../transports/sse.ts";
import type { WebSocketConnection } from "../transports/websocket.ts";
import { type Door, throughDoor } from "./door.ts";
import type { CookieParts } from "./cookies.ts";
import { requireOrigin, type UpgradeParts } from "./upgrade.ts";

export interface OneWayParts extends Door, Pick<UpgradeParts, "originAllowed" | "draining" | "viewer" | "credentials"> {
  readonly mayUseCookies: CookieParts["mayUseCookies"];
  readonly gateway: Gateway;
  readonly turn: Turn;
  readonly depthMax: number;
  readonly channelsMax: number;
  readonly bodyBytesMax: number;
  readonly compression: boolean;
  readonly retryMs: number;
  readonly messageBytesMax: number;
  readonly queueBytesMax: number;
  readonly pollWaitSecondsMax: number;
}

export type WebServer = Server<WebSocketConnection>;

/** `tail`: the rest of the path, still percent-encoded, where the mount takes one. */
export type Mount = (
  request: Request,
  server: WebServer,
  tail: string,
) => Response | undefined | Promise<Response | undefined>;

export function oneWayMounts(parts: OneWayParts): [string, Mount][] {
  const native = nativeProtocol(parts.depthMax);
  const data = dataProtocol(parts.depthMax);
  const limits = parts;
  // Made once: a session keeps its protocol, and there may be fifteen thousand of them.
  const nativeEvents = eventsOf(native);
  const dataEvents = eventsOf(data);
  const sse = sseTransport({
    ...parts,
    limits,
    protocolOf({ data: isData, named }) {
      const { named: withNames, unnamed } = isData ? dataEvents : nativeEvents;
      return named ? withNames : unnamed;
    },
  });
  const nativeLines = oneWayProtocol(native);
  const dataLines = oneWayProtocol(lineProtocol(data));
  const stream = httpStreamTransport({
    ...parts,
    limits,
    protocolOf: ({ data: isData }) => (isData ? dataLines : nativeLines),
  });
  const poll = longPollTransport({
    ...parts,
    limits,
    protocol: native,
    waitSecondsMax: parts.pollWaitSecondsMax,
    answerBytesMax: parts.queueBytesMax / 2,
  });
  const send = sendTransport({ ...parts, protocol: native });
  // An EventSource that is answered 503 never comes back.
  const later = (goodbye: Disconnect): Response => laterAnswer(goodbye, parts.retryMs);
  const events = httpMount(parts, { methods: ["GET"], refuse: later }, (request, server, tail) =>
    sse(request, server, queryOf(request), tail),
  );
  const both = { methods: ["GET", "POST"] };
  return [
    ["/sse", events],
    ["/sse/", events],
    ["/stream", httpMount(parts, both, (request, server) => stream(request, server, queryOf(request)))],
    [
      "/poll",
      httpMount(parts, { ...both, isKnown: (request) => bringsCursor(queryOf(request)) }, (request, server) =>
        poll(request, server, queryOf(request)),
      ),
    ],
    [
      "/send",
      httpMount(parts, { methods: ["POST"], isOpen: true }, (request, server) =>
        send(request, server, queryOf(request)),
      ),
    ],
  ];
}

function queryOf(request: Request): string {
  return splitUrl(request.url).query;
}

/** A poll that goes on from another. Whoever makes one up has passed by the rate of newcomers, and nothing else. */
function bringsCursor(query: string): boolean {
  return /(?:^|&)since=[^&]{10}/.test(query);
}

interface MountOptions {
  readonly methods: readonly string[];
  /** Not a client of its own: nobody is asked whether it may come in. */
  readonly isOpen?: boolean;
  readonly isKnown?: (request: Request) => boolean;
  readonly refuse?: (goodbye: Disconnect) => Response;
}

function eventsOf(inner: Protocol): { readonly named: OneWayProtocol; readonly unnamed: OneWayProtocol } {
  // Quiet within the events: what is left out still moves the cursor.
  const silent = quietProtocol(inner);
  const both = (named: boolean): OneWayProtocol =>
    oneWayProtocol(eventStreamProtocol(inner, { named }), eventStreamProtocol(silent, { named }));
  return { named: both(true), unnamed: both(false) };
}

/** Requests of pages: from allowed origins, with an answer that such a page may read. `serve` rejects with nothing but bugs. */
function httpMount(
  parts: OneWayParts,
  { methods, isOpen = false, isKnown = () => false, refuse = refusalAnswer }: MountOptions,
  serve: (request: Request, server: WebServer, tail: string) => Promise<Response>,
): Mount {
  // Not an async function: it would keep the request for as long as a poll waits.
  return (request, server, tail) => {
    const origin = request.headers.get("origin");
    const host = request.headers.get("host");
    const reader = origin === null ? null : { origin, withCookies: parts.mayUseCookies(origin, host) };
    try {
      requireOrigin(parts, request);
      if (request.method === "OPTIONS") return readableBy(reader, preflightAnswer(methods));
      if (!methods.includes(request.method)) return methodAnswer(request.method, methods.join(", "));
      const answer = isOpen
        ? serve(request, server, tail)
        : throughDoor(parts, isKnown(request), () => serve(request, server, tail), refuse);
      if (reader === null) return answer;
      return answer instanceof Promise
        ? answer.then((response) => response && readableBy(reader, response))
        : answer && readableBy(reader, answer);
    } catch (error) {
      if (error instanceof ReplyError) return failureAnswer(error);
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

/** A page that reads the answer. */
interface Reader {
  readonly origin: string;
  readonly withCookies: boolean;
}

function readableBy(reader: Reader | null, response: Response): Response {
  if (reader !== null) {
    response.headers.set("access-control-allow-origin", reader.origin);
    if (reader.withCookies) response.headers.set("access-control-allow-credentials", "true");
    response.headers.append("vary", "origin");
  }
  return response;
}
