/**
 * Compressed publications over WebSocket (SPEC.md, CM-4), for those who pay for their bytes:
 *
 *     connect(url, { WebSocket: inflating() });
 *
 * The gateway then sends large publications as binary messages, which are inflated here and handed on in their order. Apart from
 * the client, which need not carry this along.
 */
import { globals, type WebSocketConstructor } from "./platform.ts";

/** Sockets that inflate what comes deflated. Where the platform cannot inflate, the sockets themselves. */
export function inflating(Socket?: WebSocketConstructor): WebSocketConstructor {
  const Plain = Socket ?? requireWebSocket();
  if (!("DecompressionStream" in globalThis)) return Plain;
  return class extends InflatingSocket {
    constructor(url: string) {
      super(new Plain(`${url}${url.includes("?") ? "&" : "?"}compress=deflate`));
    }
  };
}

function requireWebSocket(): WebSocketConstructor {
  if (globals.WebSocket === undefined) throw new TypeError("no WebSocket here: pass one");
  return globals.WebSocket;
}

function inflate(data: ArrayBuffer): Promise<string> {
  return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
}

type Listener = ((event: never) => unknown) | null;

/* oxlint-disable unicorn/prefer-add-event-listener -- the shape that the client asks for, which custom sockets have */
class InflatingSocket {
  onopen: Listener = null;
  onmessage: Listener = null;
  onclose: Listener = null;
  onerror: Listener = null;
  readonly #socket: InstanceType<WebSocketConstructor>;
  /** What came is handed on in its order, however long a message takes to inflate. */
  #last: Promise<void> | undefined;

  constructor(socket: InstanceType<WebSocketConstructor>) {
    this.#socket = socket;
    Object.assign(socket, { binaryType: "arraybuffer" });
    socket.onopen = () => this.onopen?.({} as never);
    socket.onmessage = ({ data }: { readonly data: string | ArrayBuffer }) => {
      const hand = (text: string): unknown => this.onmessage?.({ data: text } as never);
      if (typeof data === "string") this.#after(() => hand(data));
      else this.#after(async () => hand(await inflate(data)));
    };
    socket.onclose = (event: never) => this.#after(() => this.onclose?.(event));
    socket.onerror = (event: never) => this.onerror?.(event);
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  close(code?: number, reason?: string): void {
    this.#socket.close(code, reason);
  }

  #after(run: () => unknown): void {
    const last = this.#last;
    if (last === undefined) {
      const result = run();
      if (result instanceof Promise) this.#wait(result);
    } else this.#wait(last.then(run));
  }

  #wait(result: Promise<unknown>): void {
    const last = result.then(
      () => undefined,
      // What cannot be inflated leaves a hole: the connection is given up, and the next one fills it.
      () => {
        this.onmessage = null;
        this.#socket.close();
      },
    );
    this.#last = last;
    void last.then(() => {
      if (this.#last === last) this.#last = undefined;
    });
  }
}
/* oxlint-enable unicorn/prefer-add-event-listener */
