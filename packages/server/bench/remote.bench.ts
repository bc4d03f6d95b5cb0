/**
 * What a publication costs on its way from a worker to its supervisor's engine and back, in processor time of all processes together, beside an engine in the worker itself:
 *
 *     bun packages/server/bench/remote.bench.ts [seconds] [paced | saturated]
 *
 * One worker publishes to 200 channels, 1,000 times a second or as fast as it is answered; so many workers as stands there follow all of them, the first one among
 * them. A supervisor and its workers are processes of their own, started from this file. `echo` is what the machine takes for it: the same bytes through the same kind of
 * socket and back, with nothing done to them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { newPeerMark } from "../src/base/ids.ts";
import { createLogger } from "../src/base/log.ts";
import { openMemoryEngine } from "../src/engines/memory/engine.ts";
import { connectRemoteEngine } from "../src/engines/remote/client.ts";
import { serveEngine } from "../src/engines/remote/server.ts";
import { openSqliteEngine } from "../src/engines/sqlite/engine.ts";
import type { Broker, Sink } from "../src/ports/broker.ts";
import type { Engine, EngineSettings } from "../src/ports/engine.ts";

const CHANNELS = 200;
const BATCH = 200;
const WARM_MS = 1_500;

const names = Array.from({ length: CHANNELS }, (_, index) => `bench:${index}`);
const draft = { data: JSON.stringify({ text: "x".repeat(150) }), keep: true };
const settings: EngineSettings = {
  retentionOf: () => ({ size: 100, ttlMs: 300_000 }),
  idempotencyMs: 300_000,
  positionTtlMs: 30 * 86_400_000,
};
const log = createLogger("warn", "pretty");

type EngineName = "echo" | "memory" | "sqlite";
type Pace = "paced" | "saturated";

interface Figures {
  readonly publications: number;
  readonly cpuUs: number;
  readonly ms: number;
}

function openEngine(name: EngineName, folder: string, sink: Sink): Engine {
  if (name === "memory") return openMemoryEngine(settings, sink, systemClock);
  return openSqliteEngine({ dataDir: join(folder, "data"), sync: "normal" }, settings, sink, systemClock, log);
}

function countingSink(): Sink & { received: number } {
  const sink = {
    received: 0,
    publication: () => void sink.received++,
    event: () => undefined,
    top: () => undefined,
    fenced: () => undefined,
  };
  return sink;
}

function listenForEcho(folder: string): void {
  Bun.listen({ unix: join(folder, "engine.sock"), socket: { data: (socket, bytes) => void socket.write(bytes) } });
}

/** A broker whose answers are what was sent, all of one turn in one write. */
async function connectEcho(folder: string): Promise<Pick<Broker, "publish" | "subscribe">> {
  const bytes = Buffer.alloc(draft.data.length + 60);
  const waiting: (() => void)[] = [];
  let received = 0;
  let queued = 0;
  const socket = await Bun.connect({
    unix: join(folder, "engine.sock"),
    socket: {
      data(_, chunk) {
        received += chunk.length;
        for (; received >= bytes.length; received -= bytes.length) waiting.shift()?.();
      },
    },
  });
  const flush = (): void => {
    socket.write(Buffer.alloc(bytes.length * queued));
    queued = 0;
  };
  return {
    subscribe: () => Promise.resolve({ epoch: "", offset: 0 }),
    publish: () =>
      new Promise((resolve) => {
        waiting.push(() => resolve({ epoch: "", offset: 0, repeated: false }));
        if (queued++ === 0) setImmediate(flush);
      }),
  };
}

/** Publishes until it is told to stop. Returns how many. */
async function publish(broker: Pick<Broker, "publish">, pace: Pace, isOver: () => boolean): Promise<number> {
  let count = 0;
  const next = (): Promise<unknown> => broker.publish(names[count++ % CHANNELS] as string, draft);
  const start = performance.now();
  while (!isOver()) {
    if (pace === "saturated") {
      await Promise.all(Array.from({ length: BATCH }, next));
      // An engine in the worker itself may answer within this turn, and nobody could stop it.
      await new Promise((resolve) => setImmediate(resolve));
    } else {
      const due = Math.floor(performance.now() - start);
      // Each in a turn of its own: at this pace nothing is shared.
      if (count < due) await next();
      else await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  return count;
}

/** A child reads commands, one a line, and answers each with a line. */
async function serveCommands(commands: Readonly<Record<string, () => unknown>>): Promise<void> {
  let rest = "";
  for await (const chunk of Bun.stdin.stream()) {
    const lines = (rest + new TextDecoder().decode(chunk)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) process.stdout.write(`${JSON.stringify((await commands[line]?.()) ?? null)}\n`);
  }
  process.exit(0);
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function runSupervisor(folder: string, name: EngineName): Promise<void> {
  if (name === "echo") listenForEcho(folder);
  else serveSupervised(folder, name);
  await serveCommands({ cpu: cpuUs });
}

function serveSupervised(folder: string, name: EngineName): void {
  serveEngine(join(folder, "engine.sock"), {
    open: (sink) => openEngine(name, folder, sink),
    clock: systemClock,
    log,
    leaveDelayOf: () => 0,
    onStuck: ({ pid }, reason) => log.error("stuck", { pid, reason }),
  });
}

async function brokerOf(
  folder: string,
  name: EngineName,
  isRemote: boolean,
  sink: Sink,
): Promise<Pick<Broker, "publish" | "subscribe">> {
  if (!isRemote) return openEngine(name, folder, sink).broker;
  if (name === "echo") return connectEcho(folder);
  const parts = { self: newPeerMark(), clock: systemClock, log, onLost: () => process.exit(0) };
  return (await connectRemoteEngine(join(folder, "engine.sock"), parts)).open(settings, sink).broker;
}

async function runWorker(folder: string, name: EngineName, pace: Pace, isRemote: boolean): Promise<void> {
  const sink = countingSink();
  const broker = await brokerOf(folder, name, isRemote, sink);
  for (const channel of names) await broker.subscribe(channel);
  let isOver = false;
  let published: Promise<number> = Promise.resolve(0);
  await serveCommands({
    cpu: cpuUs,
    received: () => sink.received,
    // At full speed, whatever the pace: a process that runs for days has its code compiled.
    warm() {
      isOver = false;
      published = publish(broker, "saturated", () => isOver);
    },
    go() {
      isOver = false;
      published = publish(broker, pace, () => isOver);
    },
    stop() {
      isOver = true;
      return published;
    },
  });
}

class Child {
  readonly #process;
  readonly #lines: AsyncIterator<string>;

  constructor(...args: string[]) {
    this.#process = Bun.spawn([process.execPath, import.meta.path, ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#lines = linesOf(this.#process.stdout);
  }

  async ask(command: string): Promise<number> {
    void this.#process.stdin.write(`${command}\n`);
    await this.#process.stdin.flush();
    return JSON.parse((await this.#lines.next()).value as string) as number;
  }

  async end(): Promise<void> {
    this.#process.kill();
    await this.#process.exited;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + new TextDecoder().decode(chunk)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

async function measure(name: EngineName, pace: Pace, workers: number, ms: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), "longwire-bench-"));
  const children: Child[] = [];
  try {
    if (workers > 0) {
      children.push(new Child("supervisor", folder, name));
      await children[0]?.ask("cpu");
    }
    const startWorker = (): Child => new Child("worker", folder, name, pace, workers > 0 ? "remote" : "own");
    const first = startWorker();
    children.push(first);
    for (let more = 1; more < workers; more++) children.push(startWorker());
    for (const child of children) await child.ask("cpu");
    await first.ask("warm");
    await Bun.sleep(WARM_MS);
    await first.ask("stop");
    const total = async (): Promise<number> => {
      const each = await Promise.all(children.map((child) => child.ask("cpu")));
      return each.reduce((sum, cpu) => sum + cpu, 0);
    };
    const before = await total();
    const start = performance.now();
    await first.ask("go");
    await Bun.sleep(ms);
    const publications = await first.ask("stop");
    const took = performance.now() - start;
    return { publications, cpuUs: (await total()) - before, ms: took };
  } finally {
    for (const child of children) await child.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function run(name: EngineName, pace: Pace, workers: number, ms: number): Promise<number> {
  const { publications, cpuUs: cpu, ms: took } = await measure(name, pace, workers, ms);
  const each = cpu / publications;
  const rate = Math.round((publications / took) * 1_000).toLocaleString("en");
  const where =
    workers === 0 ? "in the worker itself" : `by a supervisor, ${workers} ${workers > 1 ? "workers" : "worker"}`;
  process.stdout.write(
    `${name.padEnd(7)} ${pace.padEnd(10)} ${where.padEnd(26)} ${rate.padStart(9)}/s ${each.toFixed(1).padStart(7)} us`,
  );
  return each;
}

async function runAll(seconds: number, paces: readonly Pace[]): Promise<void> {
  process.stdout.write(`${CHANNELS} channels, ${draft.data.length} bytes each, ${seconds} s each\n`);
  for (const pace of paces) {
    await run("echo", pace, 1, seconds * 1_000);
    process.stdout.write("\n");
    for (const name of ["memory", "sqlite"] as const) {
      const direct = await run(name, pace, 0, seconds * 1_000);
      process.stdout.write("\n");
      for (const workers of [1, 2, 4]) {
        const each = await run(name, pace, workers, seconds * 1_000);
        process.stdout.write(`   ${(each - direct).toFixed(1).padStart(5)} us more\n`);
      }
    }
  }
}

const [first = "5", folder = "", name, pace, place] = process.argv.slice(2);
if (first === "supervisor") await runSupervisor(folder, name as EngineName);
else if (first === "worker") await runWorker(folder, name as EngineName, pace as Pace, place === "remote");
else await runAll(Number(first), folder === "" ? ["paced", "saturated"] : [folder as Pace]);
