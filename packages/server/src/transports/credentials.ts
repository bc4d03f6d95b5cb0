/**
 * Credentials: where in a request a token may stand, beside the query (SPEC.md, CO-16 to CO-18).
 *
 * A subprotocol is chosen by the page, as the query is. A header may come from a proxy, and a cookie comes along whatever page asks: both
 * speak only where the client itself brings no token, and a cookie only for pages that are allowed by name. Else any page could connect
 * as its visitor (cross-site WebSocket hijacking), since browsers ask no one before they open a WebSocket.
 */
import { ReplyError } from "../base/failures.ts";
import type { Handshake } from "../ports/gateway.ts";

/** What the server speaks, as a subprotocol (RFC 6455 section 1.9). */
export const SUBPROTOCOL = "longwire";
const TOKEN_PREFIX = "token.";

export interface CredentialOptions {
  /** Name of the cookie; undefined: none is read. */
  readonly cookie: string | undefined;
  /** Whether pages of this origin may use it: listed or the server's own. */
  readonly trusted: (origin: string, host: string | null) => boolean;
  /** The application is asked who connects, and may give out bearer tokens of its own: only what looks like a JWT is for us. */
  readonly hasOtherBearers: boolean;
}

export type CredentialReader = (request: Request, handshake: Handshake) => Handshake;

/** Adds to the handshake the token that stands in a header or a cookie. */
export function credentialReader({ cookie, trusted, hasOtherBearers }: CredentialOptions): CredentialReader {
  return (request, handshake) => {
    if (handshake.token !== undefined) return handshake;
    const bearer = bearerOf(request);
    const isOurs = !hasOtherBearers || bearer?.split(".").length === 3;
    const token =
      (isOurs ? bearer : undefined) ?? (cookie === undefined ? undefined : cookieOf(request, cookie, trusted));
    return token === undefined ? handshake : { ...handshake, requestToken: token };
  };
}

function bearerOf(request: Request): string | undefined {
  const header = request.headers.get("authorization");
  // Another scheme is somebody else's business: a proxy with a password, for instance.
  return header === null ? undefined : /^bearer +([^\s,]+) *$/i.exec(header)?.[1];
}

function cookieOf(request: Request, name: string, trusted: CredentialOptions["trusted"]): string | undefined {
  const header = request.headers.get("cookie");
  if (header === null || !comesFromTrusted(request, trusted)) return undefined;
  for (const part of header.split(";")) {
    const equals = part.indexOf("=");
    if (equals > 0 && part.slice(0, equals).trim() === name)
      return unquoted(part.slice(equals + 1).trim()) || undefined;
  }
  return undefined;
}

/**
 * Browsers name the origin of every WebSocket and of every request that crosses origins. A request to the page's own origin may lack it, and
 * then `Sec-Fetch-Site` says so, which no page can set. Clients that are no browsers have better places for a token.
 */
function comesFromTrusted(request: Request, trusted: CredentialOptions["trusted"]): boolean {
  const origin = request.headers.get("origin");
  if (origin === null) return request.headers.get("sec-fetch-site") === "same-origin";
  return trusted(origin, request.headers.get("host"));
}

function unquoted(value: string): string {
  return /^"[^"]*"$/.test(value) ? value.slice(1, -1) : value;
}

/** What of the offered subprotocols is for us. `answer`: the one to name, or undefined: leave it to the runtime, which names the first. */
export interface Offer {
  readonly token: string | undefined;
  readonly answer: string | undefined;
}

const NO_OFFER: Offer = { token: undefined, answer: undefined };

/**
 * `longwire, token.<jwt>`, or with the token in base64url. A token is never named in the answer: it would stand in logs. So whoever offers one
 * has to offer something else as well.
 */
export function readOffer(header: string | null): Offer {
  if (header === null) return NO_OFFER;
  const offered = header.split(",").map((name) => name.trim());
  const holder = offered.find((name) => name.startsWith(TOKEN_PREFIX));
  if (holder === undefined) return offered.includes(SUBPROTOCOL) ? { token: undefined, answer: SUBPROTOCOL } : NO_OFFER;
  if (!offered.includes(SUBPROTOCOL))
    throw new ReplyError("badField", `offer \`${SUBPROTOCOL}\` beside the token`, undefined, "sec-websocket-protocol");
  const text = holder.slice(TOKEN_PREFIX.length);
  // A JWT has dots, base64url has none.
  // What cannot be decoded stays what it is: a bad token, and not none.
  const token = text.includes(".") ? text : Buffer.from(text, "base64url").toString() || text;
  return { token: token === "" ? undefined : token, answer: SUBPROTOCOL };
}
