/**
 * Origins: which pages may connect. Browsers send cookies along with a WebSocket handshake to whomever a page names, so the
 * server has to ask where the page comes from (RFC 6454; cross-site WebSocket hijacking). Clients that are no browsers send
 * no Origin and are not concerned.
 */
import { type OriginPattern, parseOrigin, parseOriginPattern } from "../config/origin-pattern.ts";

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Makes the check: listed origins and the server's own; while bound to loopback any page of this machine. `allowed` has been checked
 * with the configuration.
 *
 * `hasTokens` false: clients need none, so what keeps strangers out is that nobody but this machine can connect, and a page of any site can make its own
 * name point at 127.0.0.1 after it was loaded (DNS rebinding). Then the server's own name proves nothing; only the names
 * of this machine do.
 */
export function originCheck(
  allowed: readonly string[],
  boundToLoopback: boolean,
  hasTokens: boolean,
): (origin: string | null, host: string | null) => boolean {
  const takesAll = allowed.includes("*");
  const takesOpaque = allowed.includes("null");
  const exact = new Set<string>();
  const suffixes: OriginPattern[] = [];
  for (const entry of allowed) {
    const pattern = parseOriginPattern(entry);
    if (typeof pattern === "string") continue;
    if (pattern.isSuffix) suffixes.push(pattern);
    else exact.add(nameOf(pattern));
  }
  return (origin, host) => {
    if (origin === null || takesAll) return true;
    if (origin === "null") return takesOpaque;
    const page = parseOrigin(origin);
    if (page === undefined) return false;
    if (boundToLoopback && (LOOPBACK.has(page.host) || page.host.endsWith(".localhost"))) return true;
    if (exact.has(nameOf(page)) || suffixes.some((suffix) => isWithin(page, suffix))) return true;
    const own = page.port === "" ? page.host : `${page.host}:${page.port}`;
    return hasTokens && host !== null && own === host.toLowerCase();
  };
}

/** By itself, since the scheme decides what a port that is left out means. */
function nameOf({ scheme, host, port }: OriginPattern): string {
  return `${scheme}//${host}:${port}`;
}

function isWithin(page: OriginPattern, { scheme, host, port }: OriginPattern): boolean {
  // The suffix begins with its dot: neither the domain itself nor `evilexample.com` ends with it.
  return page.scheme === scheme && page.port === port && page.host.endsWith(host) && page.host.length > host.length;
}
