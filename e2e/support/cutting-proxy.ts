/**
 * A TCP proxy that cuts connections: the network's part in the tests.
 *
 *     const proxy = startProxy(new URL(server.url).port);
 *     connect(proxy.url);
 *     proxy.cut(0.1);          // each connection is cut with this probability, in whatever it was doing
 *     proxy.stop();
 */
import type { Socket } from "bun";

interface Pair {
  client: Socket<Pair>;
  server: Socket<Pair> | undefined;
  /** Bytes that wait for the other side: before it is connected, or because it does not take them. */
  toServer: Uint8Array[];
  toClient: Uint8Array[];
}

export interface CuttingProxy {
  readonly url: string;
  readonly connections: number;
  readonly cuts: number;
  cut(chance: number, random?: () => number): void;
  stop(): void;
}

/** Writes what the socket takes, keeps the rest in order, and stops reading from the other side meanwhile. */
function forward(
  to: Socket<Pair> | undefined,
  from: Socket<Pair> | undefined,
  waiting: Uint8Array[],
  data?: Uint8Array,
): void {
  if (data !== undefined) waiting.push(new Uint8Array(data));
  if (to === undefined) return;
  for (let [first] = waiting; first !== undefined; [first] = waiting) {
    const written = to.write(first);
    if (written < 0) return;
    if (written < first.length) {
      waiting[0] = first.subarray(written);
      from?.pause();
      return;
    }
    waiting.shift();
  }
  from?.resume();
}

/** `port` 0: any free one. */
export function startProxy(targetPort: number, port = 0): CuttingProxy {
  const pairs = new Set<Pair>();
  let cuts = 0;
  const end = (pair: Pair): void => {
    pairs.delete(pair);
    pair.client.terminate();
    pair.server?.terminate();
  };
  const listener = Bun.listen<Pair>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(client) {
        const pair: Pair = { client, server: undefined, toServer: [], toClient: [] };
        client.data = pair;
        pairs.add(pair);
        Bun.connect<Pair>({
          hostname: "127.0.0.1",
          port: targetPort,
          data: pair,
          socket: {
            open(server) {
              pair.server = server;
              forward(server, client, pair.toServer);
            },
            data: (server, data) => forward(client, server, pair.toClient, data),
            drain: (server) => forward(server, client, pair.toServer),
            close: () => end(pair),
            error: () => end(pair),
          },
        }).catch(() => end(pair));
      },
      data: (client, data) => forward(client.data.server, client, client.data.toServer, data),
      drain: (client) => forward(client, client.data.server, client.data.toClient),
      close: (client) => end(client.data),
      error: (client) => end(client.data),
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    get connections() {
      return pairs.size;
    },
    get cuts() {
      return cuts;
    },
    cut(chance, random = Math.random) {
      for (const pair of pairs) {
        if (random() >= chance) continue;
        cuts++;
        end(pair);
      }
    },
    stop() {
      for (const pair of pairs) end(pair);
      listener.stop(true);
    },
  };
}
