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

/** `headers`: names of those that are shown, in lower case. */
export function requestViewer(headers: readonly string[]): RequestViewer {
  return (request, transport, query) => {
    const shown: [string, string][] = [];
    for (const name of headers) {
      const value = request.headers.get(name);
      if (value !== null) shown.push([name, value]);
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

function applicationQuery(query: string): Readonly<Record<string, string>> {
  if (query === "") return {};
  // Entries and no assignments: a parameter may be called `__proto__`.
  return Object.fromEntries([...new URLSearchParams(query)].filter(([name]) => !OWN.has(name)));
}
