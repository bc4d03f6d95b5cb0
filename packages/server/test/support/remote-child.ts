/**
 * Workers and supervisors of engine `remote` in processes of their own, to be killed or halted.
 *
 *     const worker = startRemoteChild({ role: "worker", path, mark: "child1", channel: "x" });
 *     await worker.said(100);             // at least so many lines; a worker says the offset of each answer to its publishes, after `ready`
 *     worker.process.kill("SIGKILL");
 *     await worker.ended();               // all lines
 *
 *     startRemoteChild({ role: "supervisor", path });      // a memory engine at the path; says `ready`
 *
 * A worker follows its channel, puts the session `of <mark>` into it, and publishes `"1"`, `"2"`, … one after the other; with `isQuiet` it does not publish. It says `lost`
 * and ends when its supervisor is gone.
 */
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/log.ts";
import { connectRemoteEngine } from "../../src/engines/remote/client.ts";
import { serveEngine } from "../../src/engines/remote/server.ts";
import { openMemoryEngine } from "../../src/engines/memory/engine.ts";
import { draftOf, RecordingSink, settingsOf } from "./engine.ts";

export interface RemoteChildOptions {
  readonly role: "worker" | "supervisor";
  readonly path: string;
  readonly mark?: string;
  readonly channel?: string;
  readonly isQuiet?: boolean;
}

export interface RemoteChild {
  readonly process: { readonly pid: number; kill(signal: NodeJS.Signals): void };
  said(lines: number): Promise<string[]>;
  ended(): Promise<string[]>;
}

export function startRemoteChild(options: RemoteChildOptions): RemoteChild {
  const child = Bun.spawn([process.execPath, import.meta.path, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: "/",
  });
  let text = "";
  const lines = (): string[] => text.split("\n").slice(0, -1);
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) text += decoder.decode(chunk, { stream: true });
  })();
  return {
    process: child,
    async said(count) {
      while (lines().length < count) {
        if (child.exitCode !== null) throw new Error(`the child ended with ${child.exitCode}: ${text}`);
        await Bun.sleep(5);
      }
      return lines();
    },
    async ended() {
      await child.exited;
      await reading;
      return lines();
    },
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function work({ path, mark = "child1", channel = "x", isQuiet = false }: RemoteChildOptions): Promise<void> {
  const log = createLogger("silent", "json");
  const onLost = (): void => {
    say("lost");
    process.exit(0);
  };
  const prepared = await connectRemoteEngine(path, { self: mark, clock: systemClock, log, onLost });
  const { broker, presence } = prepared.open(settingsOf(), new RecordingSink());
  await broker.subscribe(channel);
  await presence.put(channel, { session: `of ${mark}` });
  say("ready");
  if (isQuiet) return;
  for (let next = 1; ; next++) say(String((await broker.publish(channel, draftOf(`${next}`))).offset));
}

function supervise({ path }: RemoteChildOptions): void {
  serveEngine(path, {
    open: (sink) => openMemoryEngine(settingsOf(), sink, systemClock),
    clock: systemClock,
    log: createLogger("silent", "json"),
    leaveDelayOf: () => 0,
    onStuck: () => undefined,
  });
  say("ready");
  setInterval(() => undefined, 60_000);
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? "{}") as RemoteChildOptions;
  if (options.role === "worker") await work(options);
  else supervise(options);
}
