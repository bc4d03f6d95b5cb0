/**
 * Peers: what the processes ask each other, and how it is answered. One table of questions, so that both sides speak of the same thing; during a
 * rolling restart a peer may be of another version, so that what is not in the table is refused, and the asker goes on without it.
 */
import type { Json } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type {
  ChannelView,
  Control,
  Page,
  SessionView,
  StatsView,
  UserDisconnection,
  UserSummary,
} from "../ports/control.ts";
import type { NodeBus } from "../ports/node-bus.ts";
import type { LuggageAnswer, YieldAnswer } from "./luggage.ts";

/** What is asked of one session is carried out where it is. */
export type SessionMethod =
  | "session"
  | "send"
  | "disconnectSession"
  | "subscribeSession"
  | "unsubscribeSession"
  | "bindUser"
  | "sessionData"
  | "putSessionData"
  | "patchSessionData"
  | "setSessionState"
  | "addSessionState";

/** By the name of the question: what comes with it, and what the answer is. All of it has to survive JSON. */
export interface Questions {
  /** How many of yours each of these was published to? */
  readonly reached: Asking<{ readonly channels: readonly string[] }, readonly number[]>;
  /** Which channels do you follow, with how many? The first ones by name. */
  readonly followed: Asking<Page & { readonly prefix?: string | undefined }, readonly FollowedChannel[]>;
  readonly subscribers: Asking<{ readonly channel: string }, number>;
  readonly sessions: Asking<Page, { readonly sessions: readonly SessionView[]; readonly more: boolean }>;
  readonly users: Asking<Page, { readonly users: readonly UserSummary[]; readonly more: boolean }>;
  readonly user: Asking<{ readonly user: string }, readonly SessionView[]>;
  /** The revocation is kept by then, if there is one. */
  readonly disconnectUser: Asking<{ readonly user: string; readonly options: UserDisconnection }, number>;
  readonly membership: Asking<
    { readonly action: "subscribeUser" | "unsubscribeUser"; readonly user: string; readonly channel: string },
    number
  >;
  /** Is it connected to you? */
  readonly holding: Asking<{ readonly session: string }, boolean>;
  readonly ofSession: Asking<{ readonly method: SessionMethod; readonly parameters: readonly Json[] }, Json>;
  /** What has this session, if it is connected to you and of this user? Somebody wants to go on with it. */
  readonly luggage: Asking<{ readonly session: string; readonly user: string | null }, LuggageAnswer>;
  /** The session is connected to me now. */
  readonly yield: Asking<{ readonly session: string }, YieldAnswer>;
  readonly stats: Asking<Nothing, StatsView>;
}

interface Asking<Fields, Answer> {
  readonly fields: Fields;
  readonly answer: Answer;
}

type Nothing = Readonly<Record<string, never>>;

export type FollowedChannel = Pick<ChannelView, "channel" | "subscribers">;

export type Question = keyof Questions;

type Fields<Name extends Question> = Questions[Name]["fields"];
type Answer<Name extends Question> = Questions[Name]["answer"];

/** How this process answers each. */
export type PeerAnswers = {
  readonly [Name in Question]: (fields: Fields<Name>, from: string) => Answer<Name> | Promise<Answer<Name>>;
};

/** `SessionMethod` names methods of Control that begin with the session's id. */
export type OfSession<Method extends SessionMethod> =
  Parameters<Control[Method]> extends [string, ...infer Rest] ? Rest : never;

export class Peers {
  constructor(
    private readonly bus: NodeBus,
    private readonly log: Logger,
  ) {}

  get self(): string {
    return this.bus.self;
  }

  get others(): readonly string[] {
    return this.bus.peers();
  }

  /** Nobody else is there now. */
  get isAlone(): boolean {
    return this.bus.peers().length === 0;
  }

  /** Rejects with `ReplyError`: with what the peer refused, or `unavailable`. */
  async ask<Name extends Question>(peer: string, name: Name, fields: Fields<Name>): Promise<Answer<Name>> {
    return await this.bus.ask(peer, questionOf(name, fields));
  }

  /** `missing`: how many did not answer, or refused. */
  async askAll<Name extends Question>(
    name: Name,
    fields: Fields<Name>,
  ): Promise<{
    readonly answers: readonly Answer<Name>[];
    readonly peers: readonly string[];
    readonly missing: number;
  }> {
    const { answers, missing } = await this.bus.askAll(questionOf(name, fields));
    return {
      answers: answers.map(({ answer }) => answer as Answer<Name>),
      peers: answers.map(({ peer }) => peer),
      missing,
    };
  }

  /** Asks each other one by itself, where what one refuses matters. Rejects with that; with `unavailable` only if no other failure is there. */
  async askEach<Name extends Question>(name: Name, fields: Fields<Name>): Promise<Answer<Name>[]> {
    const settled = await Promise.allSettled(this.others.map((peer) => this.ask(peer, name, fields)));
    const failures = settled.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    const refusal = failures.find((failure) => !isUnavailable(failure)) ?? failures[0];
    if (refusal !== undefined) throw refusal;
    return settled.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  }

  /** In the turn in which the engine was opened. */
  listen(answers: PeerAnswers): void {
    this.bus.listen(async (question, from) => {
      const name = nameOf(question);
      if (name === undefined || !Object.hasOwn(answers, name))
        throw new ReplyError("unavailable", "a process of another version was asked");
      const answer = answers[name as Question] as (fields: Json, from: string) => unknown;
      try {
        return ((await answer(question, from)) ?? null) as Json;
      } catch (error) {
        // A bug, here or in what the other version asks: who asked learns only that there is no answer.
        if (!(error instanceof ReplyError))
          this.log.error("a question of another process failed", { question: name, from, error });
        throw error;
      }
    });
  }
}

export function isUnavailable(failure: unknown): boolean {
  return failure instanceof ReplyError && failure.error === "unavailable";
}

function questionOf<Name extends Question>(name: Name, fields: Fields<Name>): Json {
  return { ...(fields as { readonly [key: string]: Json }), ask: name };
}

function nameOf(question: Json): string | undefined {
  if (typeof question !== "object" || question === null || Array.isArray(question)) return undefined;
  const { ask } = question as { readonly [key: string]: Json };
  return typeof ask === "string" ? ask : undefined;
}
