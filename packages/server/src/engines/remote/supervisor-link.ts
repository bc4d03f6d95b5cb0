/**
 * The worker's end of the socket: sends requests, finds the request of each answer, and hands on what comes unasked.
 */
import type { Json } from "@longwire/protocol";
import type { Clock, Timer } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import { ASK_MS } from "../../ports/node-bus.ts";
import { type FrameReader, FrameWriter } from "./frames.ts";
import { errorOf } from "../reply-error.ts";
import { FROM_WORKER, jsonOf, type Methods, readJson } from "./messages.ts";
import type { Wire } from "./wire.ts";

/** What may wait for the supervisor; beyond it, what can be refused is. */
export const WORKER_QUEUE_BYTES_MAX = 128 * 1024 * 1024;

/** As where the disk does not keep up. */
const RETRY_MS = 1_000;

interface Pending {
  readonly read: (reply: FrameReader) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: ReplyError) => void;
  /** The peer that was asked, and until when its answer is waited for. */
  readonly peer?: string;
  readonly timer?: Timer;
}

type Write = (writer: FrameWriter) => FrameWriter;

export class SupervisorLink {
  private readonly writer = new FrameWriter();
  readonly #pending = new Map<number, Pending>();
  #number = 0;
  /** Why nothing more is asked. */
  #refusal: string | undefined;

  constructor(
    private readonly wire: Wire,
    private readonly clock: Clock,
  ) {}

  /** `write` puts the fields behind the request's number. */
  request<T>(kind: number, read: (reply: FrameReader) => T, write: Write): Promise<T> {
    if (this.#refusal !== undefined) return Promise.reject(new ReplyError("unavailable", this.#refusal));
    const number = this.#nextNumber();
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(number, { read, resolve, reject });
      this.wire.send(write(this.writer.begin(kind).count(number)).finish());
    });
  }

  ask(peer: string, question: Json): Promise<Json> {
    if (this.#refusal !== undefined) return Promise.reject(new ReplyError("unavailable", this.#refusal));
    if (this.isFull) return Promise.reject(fullFault());
    const number = this.#nextNumber();
    return new Promise<Json>((resolve, reject) => {
      const timer = this.clock.after(ASK_MS, () => {
        this.#take(number)?.reject(new ReplyError("unavailable", "another process of the server does not answer"));
      });
      this.#pending.set(number, { read: readJson, resolve, reject, peer, timer });
      const writer = this.writer.begin(FROM_WORKER.ask).count(number);
      this.wire.send(writer.text(peer).text(JSON.stringify(question)).finish());
    });
  }

  #nextNumber(): number {
    this.#number = (this.#number + 1) >>> 0;
    return this.#number;
  }

  /** A request that may be refused: what it carries has no bounds of its own. */
  bulk<T>(kind: number, read: (reply: FrameReader) => T, write: Write): Promise<T> {
    return this.isFull ? Promise.reject(fullFault()) : this.request(kind, read, write);
  }

  get isFull(): boolean {
    return this.wire.waitingBytes > WORKER_QUEUE_BYTES_MAX;
  }

  call<Name extends keyof Methods>(name: Name, ...args: Parameters<Methods[Name]>): ReturnType<Methods[Name]> {
    const result = this.request(FROM_WORKER.call, readResult, (writer) => writer.text(name).text(JSON.stringify(args)));
    return result as ReturnType<Methods[Name]>;
  }

  /** Sends what has no answer. */
  tell(kind: number, write?: Write): void {
    const writer = this.writer.begin(kind);
    this.wire.send((write === undefined ? writer : write(writer)).finish());
  }

  answered(number: number, reply: FrameReader): void {
    const value = this.#pending.get(number)?.read(reply);
    this.#take(number)?.resolve(value as never);
  }

  failed(number: number, error: string): void {
    this.#take(number)?.reject(errorOf(jsonOf(error)));
  }

  /** Ends what is asked of a peer. */
  forsake(reason: string, peer: string): void {
    for (const [number, pending] of this.#pending) {
      if (pending.peer === peer) this.#take(number)?.reject(new ReplyError("unavailable", reason));
    }
  }

  /** Takes no more requests; resolves when those before have been answered, questions to peers aside, or nobody answers any more. */
  async finish(reason: string): Promise<void> {
    const last = this.request(FROM_WORKER.bye, nothing, (writer) => writer);
    this.#refusal ??= reason;
    await last.catch(nothing);
  }

  /** Nobody will answer any more. */
  lost(reason: string): void {
    this.#refusal ??= reason;
    for (const number of this.#pending.keys()) this.#take(number)?.reject(new ReplyError("unavailable", reason));
  }

  /** Without it a request that is over is forgotten: an answer that comes too late is nobody's. */
  #take(number: number): Pending | undefined {
    const pending = this.#pending.get(number);
    if (pending === undefined) return undefined;
    this.#pending.delete(number);
    pending.timer?.cancel();
    return pending;
  }
}

function readResult(reply: FrameReader): unknown {
  return readJson(reply) ?? undefined;
}

function nothing(): void {}

function fullFault(): ReplyError {
  return new ReplyError("unavailable", "more is published than the engine takes", RETRY_MS);
}
