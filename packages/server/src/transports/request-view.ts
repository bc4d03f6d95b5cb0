/** Request views: what of a connection's request is shown to the application, where it is asked who connects. */
import type { Handshake, RequestView } from "../ports/gateway.ts";

/** Parameters of the gateway's own: no business of the application, or, as `token` and `commands` are, told apart or secret. */
const OWN = new Set([
  "channel",
  "channels",
  "client",
  "commands",
  "compress",
  "frames",
  "lastEventId",
  "named",
  "quiet",
  "session",
  "since",
  "token",
  "wait",
]);

export type RequestViewer = (request: Request, transport: string, query: string) => RequestView;

/**
 * `headers`: names of those that are shown, in lower case. The cookie only where the page may use it: browsers send it along whatever page
 * asks, and the application would take any of them for its visitor (cross-site WebSocket hijacking).
 */
export function requestViewer(
  headers: readonly string[],
  mayUseCookies: (origin: string, host: string | null) => boolean,
): RequestViewer {
  return (request, transport, query) => {
    const shown: [string, string][] = [];
    for (const name of headers) {
      const value = request.headers.get(name);
      if (value === null || (name === "cookie" && !comesFromFriend(request, mayUseCookies))) continue;
      shown.push([name, value]);
    }
    return { transport, headers: Object.fromEntries(shown), query: applicationQuery(query) };
  };
}

/** The handshake with the view, where there is anybody to show it to. */
export function withView(
  handshake: Handshake,
  viewer: RequestViewer | undefined,
  request: Request,
  transport: string,
  query: string,
): Handshake {
  return viewer === undefined ? handshake : { ...handshake, request: viewer(request, transport, query) };
}

/**
 * Browsers name the origin of every WebSocket, and of every other request whose answer a page of another origin could read. What comes
 * without one is from the server's own pages, or from no browser; where the browser says that it is neither, it is believed.
 */
function comesFromFriend(request: Request, mayUseCookies: (origin: string, host: string | null) => boolean): boolean {
  const origin = request.headers.get("origin");
  if (origin !== null) return mayUseCookies(origin, request.headers.get("host"));
  const site = request.headers.get("sec-fetch-site");
  return site === null || site === "same-origin" || site === "none";
}

function applicationQuery(query: string): Readonly<Record<string, string>> {
  if (query === "") return {};
  // Entries and no assignments: a parameter may be called `__proto__`.
  return Object.fromEntries([...new URLSearchParams(query)].filter(([name]) => !OWN.has(name)));
}
