/** Requests over HTTP, as the one-way transports make them: POST, with frames in lines as text, which no browser asks about first. */
import type { AbortControllerConstructor, FetchLike, ResponseLike } from "../platform.ts";
import { BROKEN, type TransportHandlers } from "./transport.ts";

export interface Http {
  readonly fetch: FetchLike;
  readonly AbortController: AbortControllerConstructor;
}

export type Failed = TransportHandlers["closed"];

interface Refusal {
  readonly error: { readonly code: number; readonly message: string; readonly after?: number };
}

/** A body that is larger than the server takes, as a WebSocket would end with (RFC 6455, 7.4.1). */
const TOO_LARGE = 1009;

/** The url of an endpoint beside that of the WebSocket: `wss://host/ws` -> `https://host/send`. */
export function endpoint(url: string, name: string, query: string = ""): string {
  const beside = url.replace(/^ws/, "http").replace(/\/[^/?]*(?=\?|$)/, `/${name}`);
  return query ? beside + (beside.includes("?") ? "&" : "?") + query : beside;
}

/**
 * POSTs, and hands a good answer on. `failed` gets the goodbye's code where the server refused (OW-3), and `BROKEN` for
 * whatever else went wrong, a proxy's page included. Call the result to give up; `failed` comes then too.
 */
export function post(
  { fetch, AbortController }: Http,
  url: string,
  body: string,
  answered: (response: ResponseLike) => unknown,
  failed: Failed,
  keepalive?: boolean,
): () => void {
  const controller = new AbortController();
  const exchange = async (): Promise<void> => {
    const response = await fetch(url, { method: "POST", body, signal: controller.signal, keepalive });
    if (response.ok) {
      await answered(response);
      return;
    }
    const { code, message, after } = (JSON.parse(await response.text()) as Refusal).error;
    // Codes below are those of requests: nothing that would end a connection for good.
    failed(response.status === 413 ? TOO_LARGE : code < 4000 ? BROKEN : code, message, after);
  };
  exchange().catch((error: unknown) => failed(BROKEN, String(error)));
  return () => controller.abort();
}
