/** Whoever has connected to the supervisor's socket: nobody until the first frame says who it is, then a worker. */
import { PEER_LENGTH } from "../../ports/node-bus.ts";
import type { Turn } from "../../base/turn.ts";
import { FrameFault, type FrameReader, FrameWriter } from "./frames.ts";
import { FRAME_BYTES_MAX, FROM_SUPERVISOR, FROM_WORKER, GREETING, type Hello, readJson, VERSION } from "./messages.ts";
import { Wire, type WireSocket } from "./wire.ts";
import type { WorkerLink } from "./worker-link.ts";

/** What somebody may say who is nobody yet. */
const HELLO_BYTES_MAX = 1_024;

/** How often a visitor may be looked at before it has said who it is. */
const PATIENCE = 5;

/** A worker that cannot be let in, and what is to be done about it. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly advice: string,
  ) {
    super(message);
  }
}

export class Visitor {
  readonly wire: Wire;
  link: WorkerLink | undefined;
  #looks = 0;

  constructor(
    socket: WireSocket,
    turn: Turn,
    /** Throws `Refusal`. */
    private readonly admit: (visitor: Visitor, hello: Hello) => WorkerLink,
  ) {
    this.wire = new Wire({
      socket,
      turn,
      frameBytesMax: HELLO_BYTES_MAX,
      take: (frame) => this.#take(frame),
      drained: () => this.link?.drained(),
    });
  }

  /** Returns false when it has been nobody for too long. */
  look(): boolean {
    this.#looks++;
    return this.link !== undefined || this.#looks <= PATIENCE;
  }

  #take(frame: FrameReader): void {
    if (this.link === undefined) this.#greet(frame);
    else this.link.take(frame);
  }

  #greet(frame: FrameReader): void {
    if (frame.kind !== FROM_WORKER.hello) throw new FrameFault("the first frame is no greeting");
    const hello = readJson(frame) as Partial<Hello> | null;
    if (!isWorker(hello)) throw new FrameFault("the first frame is no worker's greeting");
    try {
      if (hello.version !== VERSION) {
        throw new Refusal("the worker is of another version than its supervisor", "Restart the server as a whole.");
      }
      this.link = this.admit(this, hello);
      this.wire.frameBytesMax = FRAME_BYTES_MAX;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const writer = new FrameWriter().begin(FROM_SUPERVISOR.refused);
      this.wire.send(writer.text(error.message).text(error.advice).finish());
      this.wire.end();
    }
  }
}

function isWorker(hello: Partial<Hello> | null): hello is Hello {
  if (hello === null || hello.greeting !== GREETING) return false;
  if (typeof hello.mark !== "string" || hello.mark.length !== PEER_LENGTH) return false;
  return typeof hello.pid === "number" && typeof hello.version === "number";
}
