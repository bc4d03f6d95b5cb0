/** A Redis of the bench's own, without a disk, and what it says of its work. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";

import type { Bench } from "./bench.ts";
import type { Child } from "./children.ts";
import { type LongwireServer, freePort, startLongwire } from "./servers.ts";

const START_TIMEOUT_MS = 10_000;

export interface Redis {
  readonly child: Child;
  readonly port: number;
  /** Commands and messages since its start, and bytes of memory. */
  figures(): Promise<RedisFigures>;
}

export interface RedisFigures {
  readonly commands: number;
  readonly outputBytes: number;
  readonly memoryBytes: number;
}

export async function startRedis(bench: Bench): Promise<Redis> {
  if (Bun.which("redis-server") === null) throw new Error("needs redis-server (Debian: apt-get install redis-server)");
  const port = freePort();
  const flags = { bind: "127.0.0.1", port, save: "", appendonly: "no", dir: mkdtempSync(join(bench.folder, "redis-")) };
  const command = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = bench.children.start("redis-server", ["redis-server", ...command]);
  const until = performance.now() + START_TIMEOUT_MS;
  while (!(await answers(port))) {
    if (!child.running || performance.now() > until) throw new Error(`Redis does not start: ${child.errors}`);
    await Bun.sleep(20);
  }
  return {
    child,
    port,
    async figures() {
      const text = await said(port, "INFO everything\r\n");
      const figure = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(text)?.[1] ?? Number.NaN);
      return {
        commands: figure("total_commands_processed"),
        outputBytes: figure("total_net_output_bytes"),
        memoryBytes: figure("used_memory"),
      };
    },
  };
}

/** A node of a gateway whose engine is that Redis, or what leads there. */
export function startNode(bench: Bench, redisPort: number, place?: LongwireServer["place"]): Promise<LongwireServer> {
  return startLongwire(bench, "redis", { "redis-urls": `redis://127.0.0.1:${redisPort}` }, place);
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await said(port, "PING\r\n")).startsWith("+PONG");
  } catch {
    return false;
  }
}

/** One command as one types it, and the whole of its answer. */
async function said(port: number, command: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, bytes) {
        text += bytes.toString();
        const length = /^\$(\d+)\r\n/.exec(text);
        if (length === null ? text.endsWith("\r\n") : text.length >= Number(length[1])) resolve(text);
      },
      close: () => reject(new Error("Redis closed the connection")),
      error: (_, error) => reject(error),
    },
  });
  socket.write(command);
  try {
    return await promise;
  } finally {
    socket.end();
  }
}
