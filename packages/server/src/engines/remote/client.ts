/**
 * Engine `remote`: the ports of the engine that the supervisor holds, for one of its workers. Every call becomes a frame, in the order of the calls; what the
 * engine hands on comes back in one order with the answers.
 *
 * The connection is never made again: without its supervisor a worker has no future.
 */
import type { Socket } from "bun";
import type { Clock } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import { Turn } from "../../base/turn.ts";
import type { Sink } from "../../ports/broker.ts";
import type { Engine, EngineSettings } from "../../ports/engine.ts";
import type { FrameReader } from "./frames.ts";
import { FRAME_BYTES_MAX, FROM_SUPERVISOR, FROM_WORKER, GREETING, type Hello, VERSION } from "./messages.ts";
import { RemoteEngine } from "./remote-engine.ts";
import { Wire } from "./wire.ts";

/** How long a supervisor may take for its first word. */
const WELCOME_MS = 5_000;

export interface RemoteParts {
  /** The mark of this worker among its peers. */
  readonly self: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** The supervisor is gone: nothing can be kept or answered any more. Not called once `close` has been. */
  readonly onLost: () => void;
}

/** A connection to the supervisor whose engine is not in use yet. */
export interface PreparedRemote {
  /** Called once. What is kept of which channel is the supervisor's affair, so the settings are not looked at. */
  open(settings: EngineSettings, sink: Sink): Engine;
  /** Instead of `open`. */
  abandon(): Promise<void>;
}

/** Rejects with `StartupError`. */
export async function connectRemoteEngine(path: string, parts: RemoteParts): Promise<PreparedRemote> {
  const connection = new Connection(parts);
  const late = parts.clock.after(WELCOME_MS, () => connection.fail(unreachable("it does not answer")));
  const connected = Bun.connect({
    unix: path,
    socket: {
      open: (socket) => connection.opened(socket),
      data: (_, chunk) => connection.received(chunk),
      drain: () => connection.drained(),
      close: () => connection.closed(),
      error: (_, error) => parts.log.error("the connection to the supervisor failed", { error }),
    },
  });
  try {
    // Both at once: the connection may be over before the first of them is looked at.
    const [engine] = await Promise.all([connection.welcomed, connected]);
    return { open: (_, sink) => engine.open(sink), abandon: () => engine.abandon() };
  } catch (error) {
    connection.cut();
    throw error instanceof StartupError ? error : unreachable(error instanceof Error ? error.message : String(error));
  } finally {
    late.cancel();
  }
}

function unreachable(reason: string): StartupError {
  return new StartupError(
    `the supervisor cannot be reached: ${reason}`,
    "A worker is started by its supervisor: `longwire serve` with `workers`.",
  );
}

/** The socket, and what it says before there is an engine. */
class Connection {
  readonly #welcome = Promise.withResolvers<RemoteEngine>();
  #wire: Wire | undefined;
  #engine: RemoteEngine | undefined;
  #isWelcome = false;

  constructor(private readonly parts: RemoteParts) {}

  get welcomed(): Promise<RemoteEngine> {
    return this.#welcome.promise;
  }

  fail(fault: StartupError): void {
    this.#welcome.reject(fault);
  }

  opened(socket: Socket): void {
    this.#wire = new Wire({
      socket,
      turn: new Turn(),
      frameBytesMax: FRAME_BYTES_MAX,
      take: (frame) => this.#take(frame),
    });
    const hello: Hello = { greeting: GREETING, version: VERSION, mark: this.parts.self, pid: process.pid };
    this.#engine = new RemoteEngine(this.#wire, this.parts);
    this.#engine.link.tell(FROM_WORKER.hello, (writer) => writer.text(JSON.stringify(hello)));
  }

  #take(frame: FrameReader): void {
    if (frame.kind === FROM_SUPERVISOR.refused) {
      this.fail(new StartupError(frame.text(), frame.text()));
      return;
    }
    this.#engine?.take(frame);
    if (frame.kind !== FROM_SUPERVISOR.welcome || this.#engine === undefined) return;
    this.#isWelcome = true;
    this.#welcome.resolve(this.#engine);
  }

  received(chunk: Buffer): void {
    try {
      this.#wire?.received(chunk);
    } catch (error) {
      this.parts.log.error("what the supervisor says cannot be read", { error });
      this.#wire?.cut();
    }
  }

  drained(): void {
    this.#wire?.drain();
  }

  closed(): void {
    this.#wire?.closed();
    this.fail(unreachable("it has closed the connection"));
    // Who was never let in has lost nothing: it is told why by `connectRemoteEngine`.
    if (this.#isWelcome) this.#engine?.lost();
  }

  cut(): void {
    this.#wire?.cut();
  }
}
