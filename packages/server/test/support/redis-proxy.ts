/**
 * Stands between a client and Redis and does what networks do:
 *
 *     const proxy = await startProxy(redis.port);
 *     openNode({ urls: [proxy.url] });
 *     proxy.swallow("answers");      // what Redis says from now on does not arrive; connections stay
 *     proxy.swallow("requests");     // what the client says does not arrive
 *     proxy.hold();                  // what the client says is kept; `release` lets it go on, also of connections that the client has given up
 *     proxy.release();
 *     proxy.cut();                   // connections end; new ones are as good as new
 *     proxy.refuse(true);            // and there are none, for a while
 *     proxy.stop();
 */
import { connect, createServer, type Socket } from "node:net";
import { freePort } from "./free-port.ts";

export interface RedisProxy {
  readonly url: string;
  swallow(what: "answers" | "requests"): void;
  hold(): void;
  release(): void;
  cut(): void;
  refuse(refused: boolean): void;
  stop(): void;
}

class Pair {
  swallowed: "answers" | "requests" | undefined;
  /** What the client has said since `hold`. */
  held: Buffer[] | undefined;

  constructor(
    readonly client: Socket,
    readonly redis: Socket,
  ) {
    client.on("data", (chunk: Buffer) => {
      if (this.held !== undefined) this.held.push(chunk);
      else if (this.swallowed !== "requests") redis.write(chunk);
    });
    redis.on("data", (chunk: Buffer) => {
      if (this.swallowed === undefined && !client.destroyed) client.write(chunk);
    });
    client
      .on("error", () => undefined)
      .on("close", () => {
        if (this.held === undefined) redis.destroy();
      });
    redis.on("error", () => undefined).on("close", () => client.destroy());
  }

  release(): void {
    for (const chunk of this.held ?? []) this.redis.write(chunk);
    this.held = undefined;
  }
}

export async function startProxy(port: number): Promise<RedisProxy> {
  const pairs = new Set<Pair>();
  let refused = false;
  const server = createServer((client) => {
    if (refused) {
      client.destroy();
      return;
    }
    const pair = new Pair(client, connect({ host: "127.0.0.1", port }));
    pairs.add(pair);
    pair.redis.on("close", () => pairs.delete(pair));
  });
  const own = freePort();
  await new Promise<void>((resolve) => server.listen(own, "127.0.0.1", resolve));
  return {
    url: `redis://127.0.0.1:${own}`,
    swallow(what) {
      for (const pair of pairs) pair.swallowed = what;
    },
    hold() {
      for (const pair of pairs) pair.held ??= [];
    },
    release() {
      for (const pair of pairs) pair.release();
    },
    cut() {
      for (const pair of pairs) pair.client.destroy();
    },
    refuse(now) {
      refused = now;
    },
    stop() {
      for (const { client, redis } of pairs) {
        client.destroy();
        redis.destroy();
      }
      server.close();
    },
  };
}
