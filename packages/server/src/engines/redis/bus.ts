/**
 * NodeBus over pub/sub: a channel for each peer, and one for all. Who the peers are is known from their leases.
 *
 * Questions to one peer and to all may come by two channels; both have the same tag, so they are handed on by one server and one connection, in
 * the order in which they were asked.
 */
import type { Json } from "@longwire/protocol";
import type { Clock, Timer } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import { type Answering, type Answers, ASK_MS, type NodeBus } from "../../ports/node-bus.ts";
import { errorOf, errorText } from "../reply-error.ts";
import { knownFailure } from "./answers.ts";
import { cutFrame, type Frame, FrameParts, TEXT_LENGTH_MAX } from "./bus-frames.ts";
import { busKey } from "./lease.ts";
import type { Link } from "./link.ts";

export interface BusDeps {
  readonly link: Link;
  readonly prefix: string;
  readonly self: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly peers: () => readonly string[];
  /** Somebody has come (`+`) or gone (`-`). */
  readonly heard: (message: string) => void;
}

interface Asked {
  /** Those that have not answered yet. */
  readonly open: Set<string>;
  readonly answers: { readonly peer: string; readonly answer: Json }[];
  refusal: ReplyError | undefined;
  readonly done: () => void;
}

export class RedisBus implements NodeBus {
  readonly self: string;
  readonly #asked = new Map<string, Asked>();
  readonly #own = new FrameParts();
  readonly #all = new FrameParts();
  #number = 0;
  #answering: Answering | undefined;
  /** Asked before anybody listens here. */
  #early: Frame[] = [];

  constructor(private readonly deps: BusDeps) {
    this.self = deps.self;
  }

  async start(): Promise<void> {
    const { link } = this.deps;
    await link.follow(this.#channelOf(this.self), (message) => this.#take(this.#own.take(message.toString())));
    await link.follow(this.#channelOf("all"), (message) => {
      const text = message.toString();
      if (/^[+-]/.test(text)) this.deps.heard(text);
      else this.#take(this.#all.take(text));
    });
  }

  stop(): void {
    for (const name of [this.self, "all"]) this.deps.link.unfollow(this.#channelOf(name));
    for (const { done } of this.#asked.values()) done();
  }

  #channelOf(name: string): string {
    return busKey(this.deps.prefix, name === "all" ? name : `to:${name}`);
  }

  peers(): readonly string[] {
    return this.deps.peers();
  }

  listen(answering: Answering): void {
    this.#answering = answering;
    const early = this.#early;
    this.#early = [];
    for (const frame of early) void this.#answer(answering, frame);
  }

  async ask(peer: string, question: Json): Promise<Json> {
    if (!this.peers().includes(peer)) throw new ReplyError("unavailable", "there is no such process");
    const { answers, refusal } = await this.#ask([peer], peer, question);
    const [first] = answers;
    if (first !== undefined) return first.answer;
    throw refusal ?? new ReplyError("unavailable", "the process that was asked does not answer");
  }

  async askAll(question: Json): Promise<Answers> {
    const peers = this.peers();
    if (peers.length === 0) return { answers: [], missing: 0 };
    const { answers } = await this.#ask(peers, "all", question);
    // Others may have answered as well: those who have come since.
    const answered = new Set(answers.map(({ peer }) => peer));
    return { answers, missing: peers.filter((peer) => !answered.has(peer)).length };
  }

  async #ask(peers: readonly string[], to: string, question: Json): Promise<Asked> {
    const number = String(++this.#number);
    const { promise, resolve } = Promise.withResolvers<void>();
    const asked: Asked = { open: new Set(peers), answers: [], refusal: undefined, done: resolve };
    this.#asked.set(number, asked);
    const timer: Timer = this.deps.clock.after(ASK_MS, resolve);
    this.#say(to, { kind: "q", from: this.self, number, text: JSON.stringify(question) }).then(
      (listeners) => {
        if (listeners === 0) resolve();
      },
      (failure: unknown) => {
        asked.refusal = failure instanceof ReplyError ? failure : undefined;
        resolve();
      },
    );
    await promise;
    timer.cancel();
    this.#asked.delete(number);
    return asked;
  }

  /** Resolves to how many have heard it. Whatever is said is on its way before this returns. */
  async #say(to: string, frame: Frame): Promise<number> {
    if (frame.text.length > TEXT_LENGTH_MAX)
      throw new ReplyError("tooLarge", "it is too long to be handed to another process");
    const { link } = this.deps;
    const channel = this.#channelOf(to);
    try {
      const said = cutFrame(frame).map((part) => link.call(channel, [link.publishCommand, channel, part]));
      return Math.min(...(await Promise.all(said)).map(Number));
    } catch (error) {
      throw knownFailure(error);
    }
  }

  #take(frame: Frame | undefined): void {
    if (frame === undefined || frame.from === this.self) return;
    if (frame.kind !== "q") this.#answered(frame);
    else if (this.#answering === undefined) this.#early.push(frame);
    else void this.#answer(this.#answering, frame);
  }

  #answered({ kind, from, number, text }: Frame): void {
    const asked = this.#asked.get(number);
    if (asked === undefined) return;
    if (kind === "a") asked.answers.push({ peer: from, answer: JSON.parse(text) as Json });
    else asked.refusal = errorOf(JSON.parse(text));
    asked.open.delete(from);
    if (asked.open.size === 0) asked.done();
  }

  async #answer(answering: Answering, { text, from, number }: Frame): Promise<void> {
    const { log } = this.deps;
    let frame: Frame;
    try {
      const answer = await answering(JSON.parse(text) as Json, from);
      frame = { kind: "a", from: this.self, number, text: JSON.stringify(answer) };
      if (frame.text.length > TEXT_LENGTH_MAX) throw new ReplyError("tooLarge", "the answer of another process");
    } catch (error) {
      if (!(error instanceof ReplyError)) log.error("a question of another process failed", { error });
      const refusal = error instanceof ReplyError ? error : new ReplyError("unavailable");
      frame = { kind: "r", from: this.self, number, text: errorText(refusal) };
    }
    this.#say(from, frame).catch((error: unknown) => {
      if (!(error instanceof ReplyError)) log.error("an answer to another process was not sent", { error });
    });
  }

  /** Nobody waits for a peer that is gone. */
  left(peer: string): void {
    this.#own.forget(peer);
    this.#all.forget(peer);
    for (const asked of this.#asked.values()) if (asked.open.delete(peer) && asked.open.size === 0) asked.done();
  }
}
