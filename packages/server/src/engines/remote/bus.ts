/** The bus as a worker sees it: its supervisor hands questions and answers on, and says who is there. */
import type { Json } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import type { Answering, Answers, NodeBus } from "../../ports/node-bus.ts";
import { errorText } from "../reply-error.ts";
import { FROM_WORKER, jsonOf } from "./messages.ts";
import type { SupervisorLink } from "./supervisor-link.ts";

export class RemoteBus implements NodeBus {
  readonly #peers = new Set<string>();
  #answering: Answering | undefined;

  constructor(
    readonly self: string,
    private readonly link: SupervisorLink,
    private readonly log: Logger,
  ) {}

  peers(): readonly string[] {
    return [...this.#peers];
  }

  listen(answering: Answering): void {
    this.#answering = answering;
  }

  ask(peer: string, question: Json): Promise<Json> {
    if (this.#peers.has(peer)) return this.link.ask(peer, question);
    return Promise.reject(new ReplyError("unavailable", "there is no such process of the server"));
  }

  async askAll(question: Json): Promise<Answers> {
    const peers = this.peers();
    const results = await Promise.allSettled(peers.map((peer) => this.ask(peer, question)));
    const answers = results.flatMap((result, at) =>
      result.status === "fulfilled" ? [{ peer: peers[at] as string, answer: result.value }] : [],
    );
    return { answers, missing: peers.length - answers.length };
  }

  joined(peer: string): void {
    this.#peers.add(peer);
  }

  left(peer: string): void {
    this.#peers.delete(peer);
    this.link.forsake("the other process of the server is gone", peer);
  }

  /** Another peer asks. */
  async asked(from: string, number: number, question: string): Promise<void> {
    let failure: string | undefined;
    let answer = "";
    try {
      if (this.#answering === undefined) throw new ReplyError("unavailable", "the process is not ready yet");
      answer = JSON.stringify(await this.#answering(jsonOf(question), from));
    } catch (error) {
      if (!(error instanceof ReplyError)) this.log.error("a question of another process failed", { error });
      failure = errorText(error instanceof ReplyError ? error : new ReplyError("unavailable"));
    }
    this.link.tell(FROM_WORKER.answer, (writer) =>
      writer
        .text(from)
        .count(number)
        .flag(failure === undefined)
        .text(failure ?? answer),
    );
  }
}
