/**
 * The C programs of the bench: compiled at start, driven over their standard input and output.
 */
import { basename, join } from "node:path";

import type { Child, Children } from "./children.ts";

export interface NativeTools {
  readonly wsload: string;
  readonly stormload: string;
  readonly streamload: string;
  readonly pollload: string;
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
  const [wsload, stormload, streamload, pollload, httpload, writeloop] = await Promise.all([
    compile("wsload"),
    compile("stormload"),
    compile("streamload"),
    compile("pollload"),
    compile("httpload"),
    compile("writeloop"),
  ]);
  return { wsload, stormload, streamload, pollload, httpload, writeloop };
}

/** How a client reads: WebSocket frames, server-sent events, lines of an HTTP body, lines of a TCP connection, long polls. */
export type Reading = "websocket" | "sse" | "lines" | "tcp" | "poll";

/** How a client subscribes. `%d` is the connection's number, `%s` its line of `valuesFile`. */
export interface Subscription {
  /** `websocket` unless said otherwise. */
  readonly reading?: Reading;
  /** Where it is not the server's main port. */
  readonly port?: number;
  /** Of a long poll with its query: `since` is appended. */
  readonly path: string;
  /** One further header. */
  readonly header?: string;
  /** A frame to send after the handshake, or the first lines of a TCP connection. */
  readonly first?: string;
  /** Binary messages of a WebSocket are deflated frames. */
  readonly deflated?: boolean;
  /** A long poll is not followed by the next one until `poll` asks. */
  readonly pollOnce?: boolean;
  /** Text of the frames that say "subscribed", and how many of them there are. */
  readonly ready?: string;
  readonly readyCount?: number;
  readonly valuesFile?: string;
}

export interface SubscribersReport {
  /** Frames, events, lines or answers, greetings not counted. */
  readonly frames: number;
  /** Publications: what carries a time stamp. */
  readonly messages: number;
  /** Payload bytes. */
  readonly bytes: number;
  /** All that came over the sockets. */
  readonly wireBytes: number;
  readonly closed: number;
  readonly seconds: number;
  readonly spanSeconds: number;
  readonly cpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
}

/** What long polls add. */
export interface PollsReport extends SubscribersReport {
  readonly answers: number;
  /** Answers without a publication. */
  readonly empty: number;
  /** Answers of another status than 200. */
  readonly refused: number;
  /** Publications that a connection had got before. */
  readonly repeats: number;
  /** Polls that are open. */
  readonly waiting: number;
}

/** What HTTP streams add. */
export interface StreamsReport extends SubscribersReport {
  /** Connections whose body is gzip. */
  readonly compressed: number;
}

function instrument(tools: NativeTools, { reading = "websocket", pollOnce, deflated }: Subscription): string[] {
  if (reading === "poll") return [tools.pollload, "--repoll", pollOnce === true ? "0" : "1"];
  if (reading === "websocket") return [tools.wsload, "--deflated", deflated === true ? "1" : "0"];
  return [tools.streamload, "--form", reading];
}

/** A process with many clients, all of them subscribed. */
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
    const command = instrument(tools, subscription);
    command.push("--port", `${subscription.port ?? port}`, "--connections", `${connections}`);
    command.push("--path", subscription.path, "--seconds", `${LIFETIME_SECONDS}`);
    if (subscription.first !== undefined) command.push("--first", subscription.first);
    if (subscription.header !== undefined) command.push("--header", subscription.header);
    if (subscription.ready !== undefined) command.push("--ready", subscription.ready);
    if (subscription.readyCount !== undefined) command.push("--ready-count", `${subscription.readyCount}`);
    if (subscription.valuesFile !== undefined) command.push("--values", subscription.valuesFile);
    const child = children.start(basename(command[0] ?? ""), command);
    const ready = JSON.parse(await child.line("READY", CONNECT_TIMEOUT_MS)) as { seconds: number };
    return new Subscribers(children, child, connections, ready.seconds);
  }

  async reset(): Promise<void> {
    await this.#child.send("reset");
  }

  /** The members that only some instruments add are for the caller to name. */
  async report<Report extends SubscribersReport = SubscribersReport>(): Promise<Report> {
    await this.#child.send("report");
    return JSON.parse(await this.#child.line("RESULT", REPORT_TIMEOUT_MS)) as Report;
  }

  /** Every client whose last poll was answered polls again. */
  async poll(): Promise<void> {
    await this.#child.send("poll");
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
