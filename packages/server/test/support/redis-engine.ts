/**
 * Engines on Redis, as processes of one server would open them, and what can become of them:
 *
 *     const node = await openRedisNode({ urls: [redis.url], prefix });
 *     await node.engine.presence.put("a", { session: "s1" });
 *     node.sink.events; node.told(); node.log.lines;
 *     node.cut();          // its way to Redis is gone, until `mend`
 *     node.freeze();       // it stands still, with its connections open, and so does its way to Redis, until `thaw`
 *     node.kill();         // as by SIGKILL
 *     await node.close();  // in order; nothing where it was killed
 *
 * Leases are short. With `redisMode` cluster and sentinel there is no way in between that could be cut.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { connectRedisEngine, type RedisOptions } from "../../src/engines/redis/engine.ts";
import type { LeaseTimes } from "../../src/engines/redis/lease.ts";
import type { Engine, EngineSettings } from "../../src/ports/engine.ts";
import { RecordingSink, settingsOf } from "./engine.ts";
import { linkSettings, RecordingLog } from "./redis-broker.ts";
import { StoppableClock } from "./stoppable-clock.ts";

/** Short, and far longer than a busy machine takes between two turns. */
export const SHORT_LEASES: LeaseTimes = { renewMs: 250, leaseMs: 1_500 };

export interface RedisNode {
  readonly engine: Engine;
  readonly sink: RecordingSink;
  readonly log: RecordingLog;
  /** Who has come (`+`) and gone (`-`) since it was asked last: `+a:bob`. */
  told(): string[];
  cut(): void;
  mend(): void;
  freeze(): void;
  thaw(): void;
  kill(): void;
  close(): Promise<void>;
}

export type NodeOptions = Partial<RedisOptions> & Pick<RedisOptions, "urls">;

export async function openRedisNode(options: NodeOptions, engine: Partial<EngineSettings> = {}): Promise<RedisNode> {
  const isSingle = (options.mode ?? "single") === "single";
  const way = isSingle ? await openWay(new URL(options.urls[0] ?? "")) : undefined;
  const log = new RecordingLog();
  const clock = new StoppableClock();
  const sink = new RecordingSink();
  const { ca: _, ...link } = linkSettings({ ...options, urls: way === undefined ? options.urls : [way.url] });
  const all: RedisOptions = { caFile: undefined, times: SHORT_LEASES, ...options, ...link };
  const connected = await connectRedisEngine(all, clock, log);
  const opened = connected.open(settingsOf(engine), sink);
  let isDead = false;
  return {
    engine: opened,
    sink,
    log,
    told: () =>
      sink.events
        .splice(0)
        .map(
          ({ type, channel, member: { user, session } }) =>
            `${type === "join" ? "+" : "-"}${channel}:${user ?? session}`,
        ),
    cut: () => way?.cut(),
    mend: () => way?.mend(),
    freeze() {
      clock.stop();
      way?.hold();
    },
    thaw() {
      way?.release();
      clock.go();
    },
    kill() {
      isDead = true;
      clock.stop();
      way?.cut();
    },
    async close() {
      const isOpen = !isDead;
      isDead = true;
      if (isOpen) await opened.close();
      way?.close();
    },
  };
}

interface Way {
  readonly url: string;
  cut(): void;
  mend(): void;
  hold(): void;
  release(): void;
  close(): void;
}

/** A way to a server that can be cut, and on which what is sent can be held back. */
async function openWay(target: URL): Promise<Way> {
  const sockets = new Set<Socket>();
  let isCut = false;
  let isHeld = false;
  const server: Server = createServer((near) => {
    if (isCut) {
      near.destroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.on("data", (bytes) => void other.write(bytes));
      if (isHeld) socket.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the way has no port");
  const url = new URL(target);
  url.port = String(address.port);
  return {
    url: url.href,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend: () => (isCut = false),
    hold() {
      isHeld = true;
      for (const socket of sockets) socket.pause();
    },
    release() {
      isHeld = false;
      for (const socket of sockets) socket.resume();
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
