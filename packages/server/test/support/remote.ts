/**
 * A supervisor's engine and its workers in one process, over a real Unix socket.
 *
 *     const house = await buildRemote((sink) => openMemoryEngine(settingsOf(), sink, clock));
 *     const { engine, sink } = await house.worker();      // a worker's engine; `sink` is what it was opened with
 *     await until(() => sink.delivered.length > 0);
 *     house.clock.advance(1_000);                         // of the supervisor and its workers, not of the engine behind them
 *     house.stuck;                                        // workers that were given up, with the reason
 *     house.errors;                                       // what stands in the log as error
 *     await house.close();
 *
 * `remoteOver(open)` is an `OpenEngine` for the contract suites: one worker on whatever engine.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogFields, Logger } from "../../src/base/log.ts";
import { newPeerMark } from "../../src/base/ids.ts";
import { connectRemoteEngine, type RemoteParts } from "../../src/engines/remote/client.ts";
import { type EngineServer, type EngineServerParts, serveEngine } from "../../src/engines/remote/server.ts";
import type { WorkerIdentity } from "../../src/engines/remote/messages.ts";
import type { Sink } from "../../src/ports/broker.ts";
import type { Engine } from "../../src/ports/engine.ts";
import { type OpenEngine, RecordingSink, settingsOf } from "./engine.ts";
import { FakeClock } from "./fake-clock.ts";

export interface RemoteWorker {
  readonly engine: Engine;
  readonly sink: RecordingSink;
  readonly mark: string;
  /** It is gone from one moment to the next, as a process that was killed. */
  readonly die: () => Promise<void>;
  /** Resolves when all that it was sent so far has arrived. */
  readonly caughtUp: () => Promise<void>;
  /** How often it was told that its supervisor is gone. */
  readonly losses: () => number;
}

export interface RemoteHouse {
  readonly path: string;
  readonly server: EngineServer;
  readonly clock: FakeClock;
  readonly stuck: (WorkerIdentity & { readonly reason: string })[];
  readonly errors: { readonly event: string; readonly fields: LogFields | undefined }[];
  worker(changed?: Partial<RemoteParts>): Promise<RemoteWorker>;
  close(): Promise<void>;
}

export async function buildRemote(
  open: (sink: Sink) => Engine | Promise<Engine>,
  changed: Partial<EngineServerParts> = {},
): Promise<RemoteHouse> {
  const folder = mkdtempSync(join(tmpdir(), "longwire-remote-"));
  const path = join(folder, "engine.sock");
  const clock = new FakeClock();
  const stuck: RemoteHouse["stuck"] = [];
  const errors: RemoteHouse["errors"] = [];
  const log: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (event, fields) => errors.push({ event, fields }),
  };
  // Some engines of the suites open with a promise: then the sink is handed on as soon as there is a server.
  let late: Sink | undefined;
  const proxy: Sink = {
    publication: (...args) => late?.publication(...args),
    event: (...args) => late?.event(...args),
    top: (...args) => late?.top(...args),
    fenced: () => late?.fenced(),
  };
  const inner = await open(proxy);
  const server = serveEngine(path, {
    open(sink) {
      late = sink;
      return inner;
    },
    clock,
    log,
    leaveDelayOf: () => 3_000,
    onStuck: (worker, reason) => stuck.push({ ...worker, reason }),
    ...changed,
  });
  return {
    path,
    server,
    clock,
    stuck,
    errors,
    async worker(changes = {}) {
      const mark = newPeerMark();
      const sink = new RecordingSink();
      let losses = 0;
      const parts: RemoteParts = { self: mark, clock, log, onLost: () => losses++, ...changes };
      const prepared = await connectRemoteEngine(path, parts);
      const engine = prepared.open(settingsOf(), sink);
      const caughtUp = async (): Promise<void> => {
        // What is read is answered behind what was said before.
        await engine.state.get("caught up");
      };
      return { engine, sink, mark: parts.self, die: () => prepared.abandon(), caughtUp, losses: () => losses };
    },
    async close() {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export const silentLog: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Waits for what comes over a socket. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await Bun.sleep(1);
}

export function remoteOver(open: OpenEngine): OpenEngine {
  return async (settings, sink, clock) => {
    const house = await buildRemote((inner) => open(settings, inner, clock));
    const parts: RemoteParts = { self: newPeerMark(), clock: house.clock, log: silentLog, onLost: () => undefined };
    const engine = (await connectRemoteEngine(house.path, parts)).open(settings, sink);
    return {
      ...engine,
      async close() {
        await engine.close();
        await house.close();
      },
    };
  };
}
