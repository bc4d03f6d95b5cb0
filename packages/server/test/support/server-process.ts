/**
 * A gateway as its user starts it: a process of its own, that can be killed.
 *
 *     const server = await spawnServer({ engine: "sqlite" });
 *     server.kill("SIGKILL");
 *     await server.exited;                     // its exit code
 *     await server.start();                    // again, on the same port and data
 *     await server.remove();                   // ends it, removes the data
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { apiOf, argumentsOf, type Flags, MAIN, redisFlags, signToken, SUITE, type TestServer } from "./server.ts";

export { freePort };

export interface ServerProcess extends Pick<TestServer, "url" | "dataDir" | "api" | "publish" | "token"> {
  readonly pid: number;
  readonly exited: Promise<number>;
  /** What it has written to standard output and standard error since its last start. */
  readonly output: () => string;
  kill(signal: "SIGKILL" | "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGSTOP" | "SIGCONT"): void;
  /** Starts it (again); resolves when it is ready. */
  start(flags?: Flags): Promise<void>;
  remove(): Promise<void>;
}

/** As a newcomer starts it: no secret and no option, but ports and a folder of its own. */
export function spawnBareServer(): Promise<ServerProcess> {
  return spawn({}, (port, dataDir) => [`--port=${port}`, "--tcp-port=0", `--data-dir=${dataDir}`]);
}

/** The flag `descriptors` is the limit of open ones (`ulimit -n`); `network` names a namespace to run in, see network.ts. */
export async function spawnServer(flags: Flags = {}): Promise<ServerProcess> {
  const { descriptors: _, network: __, ...given } = flags;
  const engine = given["engine"] ?? (SUITE.engine === "redis" ? "redis" : "sqlite");
  const own = { "log-level": "info", ...given, engine, ...(await redisFlags({ ...given, engine })) };
  return await spawn(flags, (port, dataDir, more) => argumentsOf({ ...own, port, "data-dir": dataDir, ...more }));
}

function limited(command: readonly string[], descriptors: string): string[] {
  return ["sh", "-c", `ulimit -n ${Number(descriptors)} && exec "$@"`, "sh", ...command];
}

async function spawn(
  { descriptors, network, ...flags }: Flags,
  argumentsFor: (port: string, dataDir: string, more: Flags) => string[],
): Promise<ServerProcess> {
  const dataDir = flags["data-dir"] ?? mkdtempSync(join(tmpdir(), "longwire-test-"));
  const port = flags["port"] ?? String(freePort());
  const certificate = flags["tls-cert"];
  const url = `${certificate === undefined ? "http" : "https"}://${flags["host"] ?? "127.0.0.1"}:${port}`;
  const caOf = (): string | undefined => (certificate === undefined ? undefined : readFileSync(certificate, "utf8"));
  let output = "";
  let child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;

  async function collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  }

  const running = (): NonNullable<typeof child> => {
    if (child === undefined) throw new Error("the server was not started");
    return child;
  };

  const server: ServerProcess = {
    url,
    dataDir,
    ...apiOf(() => url, caOf),
    token: signToken,
    get pid() {
      return running().pid;
    },
    get exited() {
      return running().exited;
    },
    output: () => output,
    kill(signal) {
      running().kill(signal);
    },
    async start(more = {}) {
      output = "";
      const args = argumentsFor(port, dataDir, more);
      const inside = network === undefined ? [] : ["ip", "netns", "exec", network];
      const command = [...inside, process.execPath, MAIN, "serve", ...args];
      child = Bun.spawn(descriptors === undefined ? command : limited(command, descriptors), {
        cwd: dataDir,
        stdout: "pipe",
        stderr: "pipe",
        env: { PATH: process.env["PATH"] },
      });
      void collect(child.stdout);
      void collect(child.stderr);
      for (let round = 0; round < 1000; round++) {
        if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${output}`);
        const ready = await fetch(`${url}/readyz`, certificate === undefined ? {} : { tls: { ca: caOf() } })
          .then((response) => response.ok)
          .catch(() => false);
        if (ready) return;
        await Bun.sleep(20);
      }
      throw new Error(`the server did not become ready: ${output}`);
    },
    async remove() {
      if (child !== undefined && child.exitCode === null) child.kill("SIGKILL");
      await child?.exited;
      if (flags["data-dir"] === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
