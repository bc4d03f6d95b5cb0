/**
 * A client without envelopes over a real WebSocket: `/raw`, presets, `frames=data`.
 *
 *     const ann = await connectBare(`${server.url}/raw/room:1`);
 *     ann.send("hi");                                      // or bytes
 *     expect(await ann.received(2)).toEqual(["hi", Buffer.from([0, 255])]);      // text as strings, binary messages as Buffers
 *     expect((await ann.closed).code).toBe(4103);
 */
import { type Closed, WAIT_MS } from "./ws-client.ts";

interface CuttableSocket extends WebSocket {
  terminate(): void;
}

// The runtime's class takes headers, which the browser's does not.
const RuntimeWebSocket = WebSocket as unknown as new (
  url: URL,
  options: { readonly headers: Readonly<Record<string, string>> },
) => CuttableSocket;

/** Opens a client; `url` may be `http:` or `ws:`. Rejects where the handshake is refused. */
export async function connectBare(url: string, headers: Readonly<Record<string, string>> = {}): Promise<BareClient> {
  const target = new URL(url);
  target.protocol = target.protocol.replace("http", "ws");
  const client = new BareClient(new RuntimeWebSocket(target, { headers }));
  await client.opened;
  return client;
}

export class BareClient {
  /** Everything that came, in order. */
  readonly messages: (string | Buffer)[] = [];
  readonly opened: Promise<void>;
  readonly closed: Promise<Closed>;
  #wake: () => void = () => undefined;

  constructor(private readonly socket: CuttableSocket) {
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => {
      this.messages.push(typeof data === "string" ? data : Buffer.from(data));
      this.#wake();
    });
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
    });
    this.opened = new Promise((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      void this.closed.then(({ code, reason }) => reject(new Error(`not opened: ${code} ${reason}`)));
    });
    this.opened.catch(() => undefined);
  }

  send(message: string | Uint8Array<ArrayBuffer>): void {
    this.socket.send(message);
  }

  /** Waits until so many messages came, and returns them all. */
  async received(count: number): Promise<(string | Buffer)[]> {
    const deadline = Date.now() + WAIT_MS;
    while (this.messages.length < count) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.messages.length} messages came, not ${count}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 1000));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.messages;
  }

  close(): Promise<Closed> {
    this.socket.close();
    return this.closed;
  }

  terminate(): void {
    this.socket.terminate();
  }
}
