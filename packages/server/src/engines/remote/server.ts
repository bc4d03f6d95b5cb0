/**
 * The supervisor's side of engine `remote`: one engine, and the workers that use it.
 *
 * The engine sees one subscriber, however many workers there are. What it hands on is encoded once and written to each worker that follows the channel, ahead of the
 * answer to whoever published it.
 */
import type { Socket, UnixSocketListener } from "bun";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";
import { Turn } from "../../base/turn.ts";
import type { Sink } from "../../ports/broker.ts";
import type { Engine } from "../../ports/engine.ts";
import { LocalPresence } from "../local-presence.ts";
import { Audience } from "./audience.ts";
import { Departures } from "./departures.ts";
import { FrameWriter } from "./frames.ts";
import { FROM_SUPERVISOR, type Hello, type WorkerIdentity, writePosition, writePublication } from "./messages.ts";
import { listenPrivately } from "./private-socket.ts";
import { Refusal, Visitor } from "./visitor.ts";
import { BLOCK_BYTES } from "./wire.ts";
import { type WorkerHouse, WorkerLink } from "./worker-link.ts";

/** A worker is asked so often whether it lives, and may be silent so many times. */
const BEAT_MS = 1_000;
const SILENCE_MAX = 10;

/** How long a stopping supervisor waits for workers to take what they have asked for. */
const GOODBYE_MS = 5_000;

export interface EngineServerParts {
  /** Opens the engine that is served. Throws `StartupError`. */
  readonly open: (sink: Sink) => Engine;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long those whose worker is gone stay present in a channel. */
  readonly leaveDelayOf: (channel: string) => number;
  /** The worker does not answer, or does not take what it is sent. It is cut off already; now it has to be ended. */
  readonly onStuck: (worker: WorkerIdentity, reason: string) => void;
}

/** Throws `StartupError`: the engine cannot be opened, or the path not be listened at. */
export function serveEngine(path: string, parts: EngineServerParts): EngineServer {
  const server = new EngineServer(parts);
  try {
    server.listen(path);
  } catch (error) {
    void server.close();
    throw error;
  }
  return server;
}

export class EngineServer {
  readonly engine: Engine;
  readonly #turn = new Turn();
  readonly #writer = new FrameWriter();
  readonly #audience = new Audience<WorkerLink>();
  readonly #presence: LocalPresence;
  readonly #departures: Departures;
  readonly #visitors = new Set<Visitor>();
  /** Those that were let in, by mark, and those of them that take part in the bus. */
  readonly #workers = new Map<string, WorkerLink>();
  readonly #peers = new Map<string, WorkerLink>();
  readonly #strained = new Set<WorkerLink>();
  readonly #house: WorkerHouse;
  readonly #beat;
  #listener: UnixSocketListener<Visitor> | undefined;
  #health = "";
  #emptied: (() => void) | undefined;

  constructor(private readonly parts: EngineServerParts) {
    const { clock, log } = parts;
    const sink = this.#sink();
    this.engine = parts.open(sink);
    this.#presence = new LocalPresence(sink);
    this.#departures = new Departures(this.#presence, clock, this.#turn, parts.leaveDelayOf);
    this.#house = {
      engine: this.engine,
      presence: this.#presence,
      log,
      turn: this.#turn,
      follow: (channel, worker) => this.#audience.follow(channel, worker),
      unfollow: (channel, worker) => {
        if (this.#audience.unfollow(channel, worker)) this.engine.broker.unsubscribe(channel);
      },
      followersOf: (channel) => this.#audience.sizeOf(channel),
      opened: (worker) => this.#opened(worker),
      peer: (mark) => this.#peers.get(mark),
      strained: (worker) => this.#strain(worker),
      troubled: () => this.#tellHealth(),
    };
    this.#beat = clock.every(BEAT_MS, () => this.#look());
  }

  /** Throws `StartupError`. */
  listen(path: string): void {
    this.#listener = listenPrivately<Visitor>(path, {
      open: (socket: Socket<Visitor>) => {
        socket.data = new Visitor(socket, this.#turn, (visitor, hello) => this.#admit(visitor, hello));
        this.#visitors.add(socket.data);
      },
      data: ({ data: visitor }, chunk) => this.#received(visitor, chunk),
      drain: ({ data: visitor }) => visitor.wire.drain(),
      close: ({ data: visitor }) => this.#gone(visitor),
      error: (_, error) => this.parts.log.error("the connection to a worker failed", { error }),
    });
  }

  /** Answers what was asked, lets the workers go and closes the engine. */
  async close(): Promise<void> {
    this.#beat.cancel();
    this.#listener?.stop();
    await Promise.all(Array.from(this.#workers.values(), (worker) => worker.idle()));
    for (const { wire } of this.#visitors) wire.end();
    if (this.#visitors.size > 0) await this.#goodbyes();
    this.#departures.close();
    await this.engine.close();
  }

  async #goodbyes(): Promise<void> {
    const emptied = new Promise<void>((resolve) => (this.#emptied = resolve));
    const late = this.parts.clock.after(GOODBYE_MS, () => {
      for (const visitor of this.#visitors) this.#cut(visitor);
    });
    await emptied;
    late.cancel();
  }

  #sink(): Sink {
    return {
      publication: (channel, epoch, publication) => {
        const writer = this.#writer.begin(FROM_SUPERVISOR.publication).text(channel).text(epoch);
        this.#tellFollowers(channel, writePublication(writer, publication));
      },
      event: (type, channel, member) => {
        if (this.#audience.sizeOf(channel) === 0) return;
        const writer = this.#writer.begin(FROM_SUPERVISOR.event).flag(type === "join");
        this.#tellFollowers(channel, writer.text(channel).text(JSON.stringify(member)));
      },
      top: (channel, position) => {
        const writer = this.#writer.begin(FROM_SUPERVISOR.top).text(channel);
        this.#tellFollowers(channel, writePosition(writer, position));
      },
      fenced: () => this.#tellAll(FROM_SUPERVISOR.fenced),
    };
  }

  #tellFollowers(channel: string, writer: FrameWriter): void {
    const frame = writer.finish();
    // A long one that has to wait is kept once for all of them.
    const isLong = frame.length > BLOCK_BYTES;
    const bytes = isLong ? Buffer.from(frame) : frame;
    for (const worker of this.#audience.of(channel)) worker.send(bytes, isLong);
  }

  #tellAll(kind: number, text?: string): void {
    for (const worker of this.#workers.values()) {
      worker.tell(kind, (writer) => (text === undefined ? writer : writer.text(text)));
    }
  }

  #received(visitor: Visitor, chunk: Buffer): void {
    try {
      visitor.wire.received(chunk);
    } catch (error) {
      this.parts.log.error("what came over the workers' socket cannot be read", {
        worker: visitor.link?.identity.pid,
        error,
      });
      this.#cut(visitor);
    }
  }

  #admit(visitor: Visitor, { mark, pid }: Hello): WorkerLink {
    if (this.#workers.has(mark)) throw new Refusal(`there is a worker ${mark} already`, "Start the worker anew.");
    const worker = new WorkerLink({ mark, pid }, visitor.wire, this.#house);
    const peers = [...this.#peers.keys()];
    worker.tell(FROM_SUPERVISOR.welcome, (writer) =>
      writer.text(JSON.stringify({ peers, health: this.engine.health() })),
    );
    this.#workers.set(mark, worker);
    return worker;
  }

  #opened(worker: WorkerLink): void {
    const { mark } = worker.identity;
    this.#peers.set(mark, worker);
    this.#tellOthers(worker, FROM_SUPERVISOR.joined);
  }

  #tellOthers({ identity: { mark } }: WorkerLink, kind: number): void {
    for (const [other, worker] of this.#workers) {
      if (other !== mark) worker.tell(kind, (writer) => writer.text(mark));
    }
  }

  #cut(visitor: Visitor): void {
    visitor.wire.cut();
    this.#gone(visitor);
  }

  /** Called once or twice for a connection. */
  #gone(visitor: Visitor): void {
    if (!this.#visitors.delete(visitor)) return;
    visitor.wire.closed();
    const { link } = visitor;
    if (link !== undefined) this.#lose(link);
    if (this.#visitors.size === 0) this.#emptied?.();
  }

  #lose(worker: WorkerLink): void {
    const { mark } = worker.identity;
    this.#workers.delete(mark);
    this.#strained.delete(worker);
    if (this.#peers.delete(mark)) this.#tellOthers(worker, FROM_SUPERVISOR.left);
    for (const channel of this.#audience.dismiss(worker)) this.engine.broker.unsubscribe(channel);
    worker.closed();
    this.#departures.depart(mark);
  }

  #strain(worker: WorkerLink): void {
    if (this.#strained.size === 0) {
      this.#turn.atEnd(() => {
        for (const strained of this.#strained) this.#stuck(strained, "it does not take what it is sent");
      });
    }
    this.#strained.add(worker);
  }

  #stuck(worker: WorkerLink, reason: string): void {
    for (const visitor of this.#visitors) if (visitor.link === worker) this.#cut(visitor);
    this.parts.onStuck(worker.identity, reason);
  }

  /**
   * Asks everybody whether they live. Silences are counted and not measured: when this process itself, or the machine, has stood still, nobody could have
   * answered.
   */
  #look(): void {
    for (const visitor of this.#visitors) {
      const { link } = visitor;
      if (link === undefined) {
        if (!visitor.look()) this.#cut(visitor);
      } else if (link.silence >= SILENCE_MAX) this.#stuck(link, "it does not answer");
      else {
        link.silence++;
        link.tell(FROM_SUPERVISOR.ping);
      }
    }
    this.#tellHealth();
  }

  #tellHealth(): void {
    const health = JSON.stringify(this.engine.health());
    if (health === this.#health) return;
    this.#health = health;
    this.#tellAll(FROM_SUPERVISOR.health, health);
  }
}
