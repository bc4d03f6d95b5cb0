/**
 * A Redis of a test's own, on a free port of loopback, with its data in a folder of its own:
 *
 *     const redis = await startRedis({ password: "…", tls: true, appendonly: "always", args: ["--maxmemory", "1mb"] });
 *     openEngine({ redisUrls: [redis.url] });
 *     await redis.cli("PUBSUB", "NUMSUB", "a");       // what redis-cli prints; an error throws
 *     await redis.restart({ keepData: true });       // killed and started again, on the same port
 *     redis.pause();                                 // SIGSTOP: connections stay, nothing is answered
 *     redis.continue();
 *     await redis.kill();
 *     await redis.start();
 *     await redis.stop();                            // ends it, removes everything
 *
 * Nothing is kept over a restart unless `appendonly` says so: there are no snapshots. It dies with the test's process, whatever that dies of
 * (Linux; elsewhere unless that is killed).
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificate } from "./certificates.ts";
import { freePort } from "./free-port.ts";

const START_MS = 15_000;
/** A port that was free may be taken by another by the time Redis wants it. */
const PORT_TRIES = 5;

export interface RedisOptions {
  /** Of the user `default`. */
  readonly password?: string;
  /** With a certificate for 127.0.0.1 that is its own authority. */
  readonly tls?: boolean;
  /** The data is kept on disk: flushed every second, or with each write. */
  readonly appendonly?: "everysec" | "always";
  /** Lines of its configuration file. */
  readonly config?: readonly string[];
  /** Of the command line, where they win over everything. */
  readonly args?: readonly string[];
}

export interface RedisServer {
  readonly port: number;
  /** With the password, if there is one. */
  readonly url: string;
  /** File with the certificate's authority, with `tls`. */
  readonly ca: string | undefined;
  readonly folder: string;
  readonly isRunning: boolean;
  /** What it has written since its last start. */
  readonly output: () => string;
  /** Runs a command and returns what redis-cli prints, without the last line break. */
  cli(...command: readonly string[]): Promise<string>;
  /** Resolves when it is gone. */
  kill(signal?: "SIGKILL" | "SIGTERM"): Promise<void>;
  /** Starts it (again), on the same port; resolves when it answers. */
  start(): Promise<void>;
  /** Kills it, waits `downMs`, and starts it again, with what it had kept (nothing, without `appendonly`) or with none. */
  restart(options?: RestartOptions): Promise<void>;
  pause(): void;
  continue(): void;
  stop(): Promise<void>;
}

interface RestartOptions {
  readonly keepData?: boolean;
  readonly downMs?: number;
  readonly signal?: "SIGKILL" | "SIGTERM";
}

const children = new Set<Bun.Subprocess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

/** On Linux a child that is killed with this process: tests are stopped by deadlines, too. */
function bound(command: readonly string[]): string[] {
  const setpriv = process.platform === "linux" ? Bun.which("setpriv") : null;
  return setpriv === null ? [...command] : [setpriv, "--pdeathsig", "KILL", ...command];
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  for (let tries = 1; ; tries++) {
    const server = prepareRedis("redis-server", options);
    try {
      await server.start();
      return server;
    } catch (error) {
      const isTaken = server.output().includes("Address already in use");
      await server.stop();
      if (!isTaken || tries === PORT_TRIES) throw error;
    }
  }
}

/** The same, not started yet; also for Sentinels, which are the same program. */
export function prepareRedis(program: "redis-server" | "redis-sentinel", options: RedisOptions): RedisServer {
  const folder = mkdtempSync(join(tmpdir(), "longwire-redis-"));
  const data = join(folder, "data");
  mkdirSync(data);
  const port = freePort();
  const ca = options.tls === true ? makeCertificate(folder, "redis").cert : undefined;
  const file = join(folder, "redis.conf");
  writeFileSync(file, `${configurationOf(options, { program, port, data, folder }).join("\n")}\n`);
  let child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  let output = "";

  const server: RedisServer = {
    port,
    url: `${ca === undefined ? "redis" : "rediss"}://${options.password === undefined ? "" : `:${encodeURIComponent(options.password)}@`}127.0.0.1:${port}`,
    ca,
    folder,
    get isRunning() {
      return child !== undefined && child.exitCode === null && child.signalCode === null;
    },
    output: () => output,
    async cli(...command) {
      const tls = ca === undefined ? [] : ["--tls", "--cacert", ca];
      const run = Bun.spawn(["redis-cli", "-e", "-h", "127.0.0.1", "-p", String(port), ...tls, ...command], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        env: { PATH: process.env["PATH"], ...(options.password !== undefined && { REDISCLI_AUTH: options.password }) },
      });
      const [answer, complaint, status] = await Promise.all([textOf(run.stdout), textOf(run.stderr), run.exited]);
      if (status !== 0) throw new Error(`redis-cli ${command.join(" ")}: ${complaint.trim()}${answer.trim()}`);
      return answer.replace(/\n$/, "");
    },
    async kill(signal = "SIGKILL") {
      if (child === undefined) return;
      child.kill(signal);
      // A stopped one takes no other signal.
      if (signal !== "SIGKILL") child.kill("SIGCONT");
      await child.exited;
      children.delete(child);
    },
    async start() {
      output = "";
      child = Bun.spawn(bound([program, file, ...(options.args ?? [])]), {
        cwd: data,
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      children.add(child);
      for (const stream of [child.stdout, child.stderr]) void collect(stream, (text) => (output += text));
      await answering(server, program);
    },
    async restart({ keepData = true, downMs = 0, signal = "SIGKILL" } = {}) {
      await server.kill(signal);
      if (!keepData) {
        rmSync(data, { recursive: true });
        mkdirSync(data);
      }
      await Bun.sleep(downMs);
      await server.start();
    },
    pause: () => child?.kill("SIGSTOP"),
    continue: () => child?.kill("SIGCONT"),
    async stop() {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return server;
}

interface Place {
  readonly program: string;
  readonly port: number;
  readonly data: string;
  readonly folder: string;
}

function configurationOf(options: RedisOptions, { program, port, data, folder }: Place): string[] {
  const { password, tls = false, appendonly, config = [] } = options;
  const [cert, key] = [join(folder, "redis.crt"), join(folder, "redis.key")];
  const ports = tls
    ? ["port 0", `tls-port ${port}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${cert}`]
    : [`port ${port}`];
  if (tls) ports.push("tls-auth-clients no");
  const keeping = appendonly === undefined ? [] : ["appendonly yes", `appendfsync ${appendonly}`];
  const secrecy = password === undefined ? [] : [`requirepass ${password}`, `masterauth ${password}`];
  const ofServer = program === "redis-server" ? ['save ""', ...keeping, "repl-diskless-sync-delay 0"] : [];
  return ["bind 127.0.0.1", `dir ${data}`, "daemonize no", ...ports, ...ofServer, ...secrecy, ...config];
}

const textOf = (stream: ReadableStream): Promise<string> => new Response(stream).text();

async function collect(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

async function answering(server: RedisServer, program: string): Promise<void> {
  const deadline = Date.now() + START_MS;
  for (;;) {
    if (!server.isRunning) throw new Error(`${program} did not start: ${server.output()}`);
    // Any answer but that it is still loading: it may be one that refuses this user.
    const answer = await server.cli("PING").catch((error: Error) => error.message);
    if (/PONG|NOAUTH|NOPERM|DENIED/.test(answer)) return;
    if (Date.now() > deadline) throw new Error(`${program} did not become ready (${answer}): ${server.output()}`);
    await Bun.sleep(20);
  }
}
