/**
 * Webhook: the questions as JSON by HTTP, to a backend in any language (docs/hooks.md). One POST each to one address; what is asked stands in
 * `event`.
 */
import type { Clock } from "../base/clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { ConnectAnswer, ConnectQuestion, Hooks, PublishQuestion, SubscribeQuestion } from "../ports/hooks.ts";
import { AnswerCache } from "./answer-cache.ts";
import { type Answer, readConnect, readPublish, readSubscribe } from "./answers.ts";
import type { Asker } from "./asker.ts";
import type { CallAnswer } from "./http-call.ts";

export interface WebhookParts {
  readonly asker: Asker;
  readonly clock: Clock;
  readonly depthMax: number;
}

export function webhook({ asker, clock, depthMax }: WebhookParts): Required<Hooks> {
  const connects = new AnswerCache<Answer<ConnectAnswer>>(clock);
  const subscribes = new AnswerCache<Answer<undefined>>(clock);

  /** `same`: what two questions must have in common to have the same answer. */
  async function askCached<T>(
    cache: AnswerCache<Answer<T>>,
    event: string,
    question: Readonly<Record<string, unknown>>,
    same: Readonly<Record<string, unknown>>,
    read: (answer: CallAnswer) => Answer<T>,
    cookie?: string,
  ): Promise<T> {
    const key = AnswerCache.keyOf(JSON.stringify(same));
    const known = cache.get(key);
    if (known !== undefined) return outcomeOf(known.outcome);
    const remember = (answer: CallAnswer): Answer<T> => {
      const judged = read(answer);
      if (judged.cacheMs > 0) cache.put(key, judged, judged.cacheMs, answer.text.length);
      return judged;
    };
    const { outcome } = await asker.ask(event, JSON.stringify({ event, ...question }), remember, cookie);
    return outcomeOf(outcome);
  }

  return {
    connect({ session, resumes, request, ...rest }: ConnectQuestion) {
      const { transport, headers, query } = request;
      const same = { transport, ...rest, headers, query };
      const askedAt = clock.now();
      const read = (answer: CallAnswer): Answer<ConnectAnswer> => readConnect(answer, depthMax, askedAt, clock.now());
      return askCached(connects, "connect", { session, resumes, ...same }, same, read, headers["cookie"]);
    },
    subscribe({ session, ...same }: SubscribeQuestion) {
      return askCached(subscribes, "subscribe", { session, ...same }, same, readSubscribe);
    },
    async publish(question: PublishQuestion) {
      const { data, ...rest } = question;
      // The data are text already, which may be long.
      const body = `${JSON.stringify({ event: "publish", ...rest }).slice(0, -1)},"data":${data}}`;
      const answer = await asker.ask("publish", body, (given) => readPublish(given, question, depthMax));
      return outcomeOf(answer.outcome);
    },
  };
}

function outcomeOf<T>(outcome: ReplyError | T): T {
  if (outcome instanceof ReplyError) throw outcome;
  return outcome;
}
