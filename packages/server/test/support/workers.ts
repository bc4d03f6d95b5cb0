/**
 * A server of several workers in a process of its own.
 *
 *     const run = runOfWorkers();
 *     afterEach(() => run.end());
 *     await run.start({ engine: "sqlite" });           // two of them, all ready
 *     const [ann, bob] = await run.oneOfEach();        // clients of different workers
 *     process.kill(workersOf(run.server)[0], "SIGKILL");
 *     expect(countOf(await Promise.all([attempt(port), attempt(port)]))).toEqual({ ok: 2 });
 *     expect(await run.reload()).toMatchObject({ status: 0 });
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Flags } from "./server.ts";
import { type ServerProcess, spawnServer } from "./server-process.ts";
import { connectClient, type TestClient } from "./ws-client.ts";

const WAIT_MS = 60_000;

/** Process ids of its children, in the order in which they were started. */
export function workersOf({ pid }: Pick<ServerProcess, "pid">): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    // It is gone, and has none.
    return [];
  }
}

/** Of the process that made a session. */
export function markOf(session: string): string {
  return session.slice(-6);
}

export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(10);
  }
}

/** Entries of the server's log with this message. */
export function entriesOf(server: Pick<ServerProcess, "output">, message: string): Record<string, unknown>[] {
  const lines = server.output().split("\n");
  return lines
    .filter((line) => line.includes(`"msg":"${message}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** As a careful backend does: what got no answer, since its connection died with a worker, is said again with the same key. */
export async function publishSurely(server: ServerProcess, channel: string, data: string | number): Promise<number> {
  for (;;) {
    const result = await server.publish(channel, data, { key: `${channel} ${data}` }).catch(() => undefined);
    if (result !== undefined) return result.offset;
    await Bun.sleep(10);
  }
}

/** Asks for something on a connection of its own: what was answered, or how it failed. */
export function attempt(port: number): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    });
    socket.on("data", (bytes: Buffer) => (answer += bytes.toString()));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("end", () => resolve(answer.startsWith("HTTP/1.1 200") ? "ok" : `cut: ${answer.slice(0, 20)}`));
  });
}

export function countOf(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

/** Whether somebody listens. */
export function isTaken(port: number): Promise<boolean> {
  return attempt(port).then((outcome) => outcome !== "ECONNREFUSED");
}

export function portOf({ url }: Pick<ServerProcess, "url">): number {
  return Number(new URL(url).port);
}

export interface Ending {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

export interface RunOfWorkers {
  readonly server: ServerProcess;
  readonly start: (flags?: Flags) => Promise<void>;
  readonly client: () => Promise<TestClient>;
  /** One client of each of two workers. */
  readonly oneOfEach: () => Promise<TestClient[]>;
  /** `longwire reload` of this server. */
  readonly reload: () => Promise<Ending>;
  readonly end: () => Promise<void>;
}

export function runOfWorkers(): RunOfWorkers {
  let server: ServerProcess | undefined;
  const clients: TestClient[] = [];
  const running = (): ServerProcess => {
    if (server === undefined) throw new Error("the server was not started");
    return server;
  };
  const client = async (): Promise<TestClient> => {
    const one = await connectClient(running().url);
    clients.push(one);
    return one;
  };
  return {
    get server() {
      return running();
    },
    async start(flags = {}) {
      const own = await spawnServer({ engine: "memory", workers: "2", "channels-publish": "everybody", ...flags });
      server = own;
      // The first worker may answer before the last one is ready.
      await until("all are ready", () => entriesOf(own, "listening").length === 1);
    },
    client,
    async oneOfEach() {
      const found = new Map<string, TestClient>();
      // One that has just been started may not be listening yet.
      await until("every worker has a client", async () => {
        const one = await client();
        if (found.has(markOf(one.session))) one.terminate();
        else found.set(markOf(one.session), one);
        return found.size === 2;
      });
      return [...found.values()];
    },
    async reload() {
      const main = join(import.meta.dir, "../../src/cli/main.ts");
      const command = [process.execPath, main, "reload", "--data-dir", running().dataDir];
      const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", env: { PATH: process.env["PATH"] } });
      const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      return { status: await child.exited, out, error };
    },
    async end() {
      for (const one of clients.splice(0)) one.terminate();
      await server?.remove();
    },
  };
}
