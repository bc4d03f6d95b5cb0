/**
 * The C programs of the bench: compiled at start, driven over their standard input and output.
 */
import { join } from "node:path";

import type { Child, Children } from "./children.ts";

export interface NativeTools {
  readonly wsload: string;
  readonly httpload: string;
  readonly writeloop: string;
}

const SOURCES = join(import.meta.dir, "native");
const CONNECT_TIMEOUT_MS = 120_000;
const REPORT_TIMEOUT_MS = 10_000;
/** A load generator left alone ends by itself after this time. */
const LIFETIME_SECONDS = 1200;

export function compilerPath(): string | undefined {
  return Bun.which("cc") ?? Bun.which("gcc") ?? Bun.which("clang") ?? undefined;
}

/** Compiles the programs into a folder. Throws an error with what to do where that is impossible. */
export async function compileNative(folder: string): Promise<NativeTools> {
  if (process.platform !== "linux") throw new Error("The bench reads /proc and uses epoll: it runs on Linux only.");
  const compiler = compilerPath();
  if (compiler === undefined) {
    throw new Error("The bench needs a C compiler (cc). On Debian or Ubuntu: apt-get install gcc libc6-dev");
  }
  const compile = async (name: string): Promise<string> => {
    const output = join(folder, name);
    const source = join(SOURCES, `${name}.c`);
    const command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", output, source];
    const run = Bun.spawn({ cmd: command, stdout: "ignore", stderr: "pipe" });
    const [errors, status] = await Promise.all([new Response(run.stderr).text(), run.exited]);
    if (status !== 0) throw new Error(`${command.join(" ")}\n${errors}`);
    return output;
  };
  const [wsload, httpload, writeloop] = await Promise.all([
    compile("wsload"),
    compile("httpload"),
    compile("writeloop"),
  ]);
  return { wsload, httpload, writeloop };
}

/** How a WebSocket client subscribes. `%d` is the connection's number, `%s` its line of `valuesFile`. */
export interface Subscription {
  readonly path: string;
  /** A frame to send after the handshake. */
  readonly first?: string;
  /** Text of the frames that say "subscribed", and how many of them there are. */
  readonly ready?: string;
  readonly readyCount?: number;
  readonly valuesFile?: string;
}

export interface SubscribersReport {
  /** Text and binary frames, greetings not counted. */
  readonly frames: number;
  /** Those of them that carry a time stamp. */
  readonly messages: number;
  /** Payload bytes. */
  readonly bytes: number;
  readonly closed: number;
  readonly seconds: number;
  readonly spanSeconds: number;
  readonly cpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

/** A process with many WebSocket clients, all of them subscribed. */
export class Subscribers {
  readonly connections: number;
  readonly connectSeconds: number;
  readonly #child: Child;
  readonly #children: Children;

  private constructor(children: Children, child: Child, connections: number, connectSeconds: number) {
    this.#children = children;
    this.#child = child;
    this.connections = connections;
    this.connectSeconds = connectSeconds;
  }

  static async connect(
    children: Children,
    tools: NativeTools,
    port: number,
    connections: number,
    subscription: Subscription,
  ): Promise<Subscribers> {
    const command = [tools.wsload, "--port", `${port}`, "--connections", `${connections}`];
    command.push("--path", subscription.path, "--seconds", `${LIFETIME_SECONDS}`);
    if (subscription.first !== undefined) command.push("--first", subscription.first);
    if (subscription.ready !== undefined) command.push("--ready", subscription.ready);
    if (subscription.readyCount !== undefined) command.push("--ready-count", `${subscription.readyCount}`);
    if (subscription.valuesFile !== undefined) command.push("--values", subscription.valuesFile);
    const child = children.start("wsload", command);
    const ready = JSON.parse(await child.line("READY", CONNECT_TIMEOUT_MS)) as { seconds: number };
    return new Subscribers(children, child, connections, ready.seconds);
  }

  async reset(): Promise<void> {
    await this.#child.send("reset");
  }

  async report(): Promise<SubscribersReport> {
    await this.#child.send("report");
    return JSON.parse(await this.#child.line("RESULT", REPORT_TIMEOUT_MS)) as SubscribersReport;
  }

  async stop(): Promise<void> {
    await this.#children.stop(this.#child);
  }
}

/** What to post. `%t` is the time of sending, `%d` a counter modulo `modulo`. */
export interface Posting {
  readonly port: number;
  readonly path: string;
  readonly header?: string;
  readonly body: string;
  readonly connections: number;
  /** Requests a second; 0 is as many as get answered. */
  readonly rate: number;
  readonly seconds: number;
  readonly modulo?: number;
}

export interface PostingReport {
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** The first answer that was no success. */
  readonly failure: string;
}

export async function post(children: Children, tools: NativeTools, posting: Posting): Promise<PostingReport> {
  const command = [tools.httpload, "--port", `${posting.port}`, "--path", posting.path, "--body", posting.body];
  command.push("--connections", `${posting.connections}`, "--rate", `${posting.rate}`);
  command.push("--seconds", `${posting.seconds}`, "--modulo", `${posting.modulo ?? 1}`);
  if (posting.header !== undefined) command.push("--header", posting.header);
  const child = children.start("httpload", command);
  const report = JSON.parse(await child.line("RESULT", posting.seconds * 1000 + 30_000)) as PostingReport;
  await children.stop(child);
  if (report.failed > 0 && report.ok === 0) throw new Error(`every request failed: ${report.failure}`);
  return report;
}
