/**
 * The supervisor's end of the socket of one worker: carries out what the worker asks, in the order in which it came.
 */
import type { Position } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import type { Turn } from "../../base/turn.ts";
import type { Engine } from "../../ports/engine.ts";
import type { LocalPresence } from "../local-presence.ts";
import { FrameFault, type FrameReader, FrameWriter } from "./frames.ts";
import { errorText } from "../reply-error.ts";
import {
  FROM_SUPERVISOR,
  FROM_WORKER,
  jsonOf,
  type Methods,
  readDraft,
  readQuery,
  type WorkerIdentity,
  writePage,
  writePosition,
  writePublished,
} from "./messages.ts";
import type { Wire } from "./wire.ts";

/** What may lie untaken by a worker; beyond it, it is taken for stuck. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;

/** With so much untaken a worker's pages and lists wait: ten thousand clients that come back at once must not make it a worker that is stuck. */
const HOLD_BYTES = 4 * 1024 * 1024;

/** Pages and lists for one worker before others get their turn. */
const READS_PER_TURN = 64;

/** Calls with long answers that change nothing. */
const READS: ReadonlySet<string> = new Set<keyof Methods>(["channels", "list"]);

/** What a worker's link needs of its house. */
export interface WorkerHouse {
  readonly engine: Engine;
  readonly presence: LocalPresence;
  readonly log: Logger;
  readonly turn: Turn;
  follow(channel: string, worker: WorkerLink): void;
  unfollow(channel: string, worker: WorkerLink): void;
  followersOf(channel: string): number;
  /** The worker takes part in the bus from now on. */
  opened(worker: WorkerLink): void;
  peer(mark: string): WorkerLink | undefined;
  /** More lies untaken than may. Called from within the engine's calls. */
  strained(worker: WorkerLink): void;
  /** A call has failed that should not have: the engine's health may have changed. */
  troubled(): void;
}

type Write = (writer: FrameWriter) => FrameWriter;

export class WorkerLink {
  readonly #methods: Methods;
  readonly #writer = new FrameWriter();
  /** Subscribes that the engine has not answered, by channel: the last request of each. */
  readonly #starting = new Map<string, number>();
  /** Pages and lists that are asked for, one after the other. */
  #reads: (() => Promise<void>)[] = [];
  #isReading = false;
  #drained: (() => void) | undefined;
  #inFlight = 0;
  #idle: (() => void)[] = [];
  /** For the heartbeat: how often it was asked since it has said anything. */
  silence = 0;

  constructor(
    readonly identity: WorkerIdentity,
    readonly wire: Wire,
    private readonly house: WorkerHouse,
  ) {
    this.#methods = methodsOf(house, identity.mark);
  }

  /** Sends what was not asked for. */
  tell(kind: number, write?: Write): void {
    const writer = this.#writer.begin(kind);
    this.send((write === undefined ? writer : write(writer)).finish());
  }

  send(frame: Uint8Array, isOwn = false): void {
    // Looked at before: one frame may be as long as it likes.
    if (this.wire.waitingBytes > QUEUE_BYTES_MAX) this.house.strained(this);
    this.wire.send(frame, isOwn);
  }

  /** Resolves when everything that the worker has asked is answered. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#inFlight === 0) resolve();
      else this.#idle.push(resolve);
    });
  }

  /** The worker has taken something, so it lives: with much that lies before it, it hears a question late. */
  drained(): void {
    this.silence = 0;
    this.#drained?.();
  }

  /** The worker is gone. */
  closed(): void {
    this.#reads = [];
    this.#drained?.();
  }

  take(frame: FrameReader): void {
    this.silence = 0;
    switch (frame.kind) {
      case FROM_WORKER.publish:
        this.#publish(frame.count(), frame.text(), frame);
        return;
      case FROM_WORKER.subscribe:
        this.#subscribe(frame.count(), frame.text());
        return;
      case FROM_WORKER.unsubscribe:
        this.#unsubscribe(frame.text());
        return;
      case FROM_WORKER.history:
        this.#history(frame);
        return;
      case FROM_WORKER.call:
        this.#call(frame.count(), frame.text(), frame.text());
        return;
      case FROM_WORKER.ask:
        this.#ask(frame.count(), frame.text(), frame.text());
        return;
      case FROM_WORKER.answer:
        this.#answer(frame.text(), frame.count(), frame.flag(), frame.text());
        return;
      case FROM_WORKER.pong:
        return;
      case FROM_WORKER.open:
        this.house.opened(this);
        return;
      case FROM_WORKER.bye:
        void this.#bye(frame.count());
        return;
      default:
        throw new FrameFault(`a frame of kind ${frame.kind}`);
    }
  }

  #publish(number: number, channel: string, frame: FrameReader): void {
    const draft = readDraft(frame);
    void this.#carryOut(
      number,
      () => this.house.engine.broker.publish(channel, draft),
      (writer, published) => writePublished(writer, published, this.house.followersOf(channel)),
    );
  }

  #subscribe(number: number, channel: string): void {
    // From now on, and not from the answer: what is published in between must not be missed.
    this.house.follow(channel, this);
    this.#starting.set(channel, number);
    const isLast = (): boolean => this.#starting.get(channel) === number && this.#starting.delete(channel);
    const subscribe = async (): Promise<Position> => {
      try {
        const position = await this.house.engine.broker.subscribe(channel);
        isLast();
        return position;
      } catch (error) {
        if (isLast()) this.house.unfollow(channel, this);
        throw error;
      }
    };
    void this.#carryOut(number, subscribe, writePosition);
  }

  #unsubscribe(channel: string): void {
    this.#starting.delete(channel);
    this.house.unfollow(channel, this);
    this.tell(FROM_SUPERVISOR.unsubscribed, (writer) => writer.text(channel));
  }

  #history(frame: FrameReader): void {
    const number = frame.count();
    const channel = frame.text();
    const query = readQuery(frame);
    void this.#read(() => this.#carryOut(number, () => this.house.engine.broker.history(channel, query), writePage));
  }

  #call(number: number, name: string, text: string): void {
    if (!Object.hasOwn(this.#methods, name)) throw new FrameFault(`there is no call ${name}`);
    const method = this.#methods[name as keyof Methods] as (...args: unknown[]) => Promise<unknown>;
    const args = (jsonOf(text) as unknown[]).map((arg) => arg ?? undefined);
    const run = (): Promise<void> => this.#carryOut(number, () => method(...args), writeResult);
    if (READS.has(name)) void this.#read(run);
    else void run();
  }

  /** Calls the engine and sends its answer. */
  async #carryOut<T>(
    number: number,
    call: () => Promise<T>,
    write: (writer: FrameWriter, result: T) => FrameWriter,
  ): Promise<void> {
    this.#inFlight++;
    try {
      const result = await call();
      this.send(write(this.#writer.begin(FROM_SUPERVISOR.reply).count(number), result).finish());
    } catch (error) {
      this.#fail(number, error);
    } finally {
      this.#done();
    }
  }

  #done(): void {
    this.#inFlight--;
    if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #fail(number: number, error: unknown): void {
    const isExpected = error instanceof ReplyError;
    if (!isExpected) this.house.log.error("a worker's call failed", { worker: this.identity.pid, error });
    const failure = isExpected ? error : new ReplyError("unavailable");
    if (failure.error === "unavailable") this.house.troubled();
    this.#failWith(number, failure);
  }

  #failWith(number: number, failure: ReplyError): void {
    this.tell(FROM_SUPERVISOR.failed, (writer) => writer.count(number).text(errorText(failure)));
  }

  /**
   * One after the other, as fast as the worker takes what it has asked for. A page that is read later than it was asked for has no hole: what was published
   * meanwhile is in it, or on the way ahead of it.
   */
  async #read(run: () => Promise<void>): Promise<void> {
    this.#reads.push(run);
    if (this.#isReading) return;
    this.#isReading = true;
    // Counted as one that is in flight, for whoever waits until all is answered.
    this.#inFlight++;
    for (let count = 1, next = this.#reads.shift(); next !== undefined; count++, next = this.#reads.shift()) {
      await next();
      while (this.wire.waitingBytes >= HOLD_BYTES) await new Promise<void>((resolve) => (this.#drained = resolve));
      if (count % READS_PER_TURN === 0) await this.house.turn.end();
    }
    this.#isReading = false;
    this.#done();
  }

  #ask(number: number, mark: string, question: string): void {
    const peer = this.house.peer(mark);
    if (peer === undefined) {
      this.#failWith(number, new ReplyError("unavailable", "there is no such process of the server"));
      return;
    }
    const { mark: from } = this.identity;
    peer.tell(FROM_SUPERVISOR.asked, (writer) => writer.text(from).count(number).text(question));
  }

  /** Of a peer's question. The asker has the number in its own list, so there is none here. */
  #answer(asker: string, number: number, isGood: boolean, text: string): void {
    const kind = isGood ? FROM_SUPERVISOR.reply : FROM_SUPERVISOR.failed;
    this.house.peer(asker)?.tell(kind, (writer) => writer.count(number).text(text));
  }

  async #bye(number: number): Promise<void> {
    await this.idle();
    this.tell(FROM_SUPERVISOR.reply, (writer) => writer.count(number));
  }
}

function writeResult(writer: FrameWriter, result: unknown): FrameWriter {
  return writer.text(JSON.stringify(result ?? null));
}

function methodsOf({ engine, presence }: WorkerHouse, mark: string): Methods {
  const { broker, state } = engine;
  return {
    clear: (channel) => broker.clear(channel),
    channels: (query) => broker.channels(query),
    put: (channel, member) => presence.put(channel, member, mark),
    drop: (channel, session) => presence.drop(channel, session, mark),
    list: (channel, limit) => presence.list(channel, limit),
    count: (channel) => presence.count(channel),
    get: (key) => state.get(key),
    set: (key, value, ttlMs) => state.set(key, value, ttlMs),
    add: (key, amount, ttlMs) => state.add(key, amount, ttlMs),
    touch: (key, ttlMs) => state.touch(key, ttlMs),
    remove: (key) => state.remove(key),
    position: (channel, holder) => state.position(channel, holder),
    acknowledge: (channel, holder, position) => state.acknowledge(channel, holder, position),
  };
}
