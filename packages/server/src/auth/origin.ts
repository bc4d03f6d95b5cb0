/**
 * Origins: which pages may connect. Browsers send cookies along with a WebSocket handshake to whomever a page names, so the
 * server has to ask where the page comes from (RFC 6454; cross-site WebSocket hijacking). Clients that are no browsers send
 * no Origin and are not concerned.
 */

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Makes the check: listed origins and the server's own; while bound to loopback any page of this machine.
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
  const listed = new Set(allowed.map((origin) => origin.toLowerCase()));
  return (origin, host) => {
    if (origin === null || listed.has("*") || listed.has(origin.toLowerCase())) return true;
    if (!URL.canParse(origin)) return false;
    const url = new URL(origin);
    if (boundToLoopback && (LOOPBACK.has(url.hostname) || url.hostname.endsWith(".localhost"))) return true;
    return hasTokens && host !== null && url.host === host.toLowerCase();
  };
}
