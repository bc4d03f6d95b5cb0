/** How `longwire reload` speaks to the supervisor: HTTP on a socket in a folder that only this user can look into. */
import type { Logger } from "../../base/log.ts";

/** What came of a rolling restart. */
export interface Replaced {
  /** Numbers of the workers that are new. */
  readonly replaced: readonly number[];
  readonly workers: number;
  readonly failure?: { readonly message: string; readonly advice: string | undefined };
}

const PATH = "/replace";

export function openControlSocket(path: string, replace: () => Promise<Replaced>, log: Logger): { close(): void } {
  const server = Bun.serve({
    unix: path,
    development: false,
    async fetch(request, own) {
      // It answers when the last client of the workers before has gone.
      own.timeout(request, 0);
      if (request.method !== "POST" || new URL(request.url).pathname !== PATH)
        return new Response(null, { status: 404 });
      return Response.json(await replace());
    },
    error(error) {
      log.error("rolling restart failed", { error });
      return new Response(null, { status: 500 });
    },
  });
  return { close: () => void server.stop(true) };
}

/** Rejects where nobody answers at the socket. */
export async function askToReplace(socket: string): Promise<Replaced> {
  const response = await fetch(`http://localhost${PATH}`, {
    method: "POST",
    unix: socket,
    timeout: false,
  } as RequestInit);
  if (!response.ok) throw new Error(`the supervisor answered ${response.status}; its log says why`);
  return (await response.json()) as Replaced;
}
