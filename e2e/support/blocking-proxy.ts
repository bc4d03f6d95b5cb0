/**
 * An HTTP proxy that does not let WebSockets through, or not always: the network's part in the tests of falling back.
 *
 *     const proxy = new BlockingProxy(() => server.url);
 *     proxy.way = "silence";               // what a WebSocket meets from now on
 *     proxy.blocked = ["/stream"];         // refused with a page of the proxy's own
 *     await page.goto(`${proxy.url}/page`) // a page with nothing but the SDK
 *     await proxy.stop();
 */
/** What happens to a WebSocket: refused by status, answered with a page, never answered, cut after opening, or let through. */
export type Way = 403 | 200 | "silence" | "mute" | "through";

/** A page of the application's, with the SDK as the gateway serves it. */
const PAGE = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script src="/longwire.js"></script>`;

interface Bridge {
  readonly way: Way;
  up?: WebSocket;
}

/** An HTTP proxy before the gateway, which lets everything through but WebSockets, and those too when told so. */
export class BlockingProxy {
  way: Way = 403;
  /** The one-way transports that are blocked as well. */
  blocked: readonly string[] = [];
  readonly #server: Bun.Server<Bridge>;

  constructor(gateway: () => string) {
    this.#server = Bun.serve<Bridge>({
      port: 0,
      hostname: "127.0.0.1",
      development: false,
      idleTimeout: 0,
      fetch: async (request, server) => {
        const { pathname, search } = new URL(request.url);
        if (pathname === "/page") return new Response(PAGE, { headers: { "content-type": "text/html" } });
        if (pathname !== "/ws") {
          if (this.blocked.includes(pathname)) return new Response("<html>blocked", { status: 403 });
          return await fetch(`${gateway()}${pathname}${search}`, {
            method: request.method,
            headers: { "accept-encoding": "identity" },
            ...(request.method === "POST" && { body: await request.text() }),
            signal: request.signal,
            // As a proxy answers while nobody listens behind it.
          }).catch(() => new Response("<html>bad gateway", { status: 502 }));
        }
        const { way } = this;
        if (way === "silence") return await new Promise<Response>(() => undefined);
        if (typeof way === "number") return new Response("<html>no sockets here", { status: way });
        server.upgrade(request, { data: { way } });
        return undefined;
      },
      websocket: {
        open(socket) {
          if (socket.data.way === "mute") return;
          const up = new WebSocket(`${gateway().replace("http", "ws")}/ws`);
          socket.data.up = up;
          up.addEventListener("message", ({ data }) => socket.send(String(data)));
          up.addEventListener("close", ({ code, reason }) => socket.close(code, reason));
        },
        message({ data: { up } }, message) {
          if (up?.readyState === WebSocket.OPEN) up.send(String(message));
          else up?.addEventListener("open", () => up.send(String(message)));
        },
        close: ({ data: { up } }) => up?.close(),
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }
}
