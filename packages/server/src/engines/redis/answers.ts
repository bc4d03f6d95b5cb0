/** What is made of an answer that was lost, where it is not worth finding out. */
import { ReplyError } from "../../base/failures.ts";
import { AnswerLost, RedisRefusal } from "./failures.ts";

/** What a Cluster says of slots that move for longer than was waited. */
const MOVING: ReadonlySet<string> = new Set(["TRYAGAIN", "ASK", "MOVED"]);

/**
 * What cannot be known is `unavailable`. Nothing is sent a second time: what was asked for meanwhile may have been done already, and would be
 * undone.
 */
export async function orUnavailable(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    throw knownFailure(error);
  }
}

export function knownFailure(error: unknown): unknown {
  const isKnown = error instanceof AnswerLost || (error instanceof RedisRefusal && MOVING.has(error.word));
  return isKnown ? new ReplyError("unavailable", error.message) : error;
}

/** Does it for all, so many at a time. Rejects with the first failure; then nothing further is begun. */
export async function forEach<T>(items: readonly T[], atOnce: number, act: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  let failed = false;
  const work = async (): Promise<void> => {
    // Shared by all: each takes the next one.
    for (const item of rest) {
      if (failed) return;
      try {
        await act(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
}
