import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import { Asker, Nonsense } from "./asker.ts";
import type { CallAnswer } from "./http-call.ts";

interface Call {
  readonly body: string;
  answer(text?: string): void;
  fail(reason: string): void;
}

function build(options: { concurrencyMax?: number; queueMax?: number } = {}) {
  const clock = new FakeClock();
  const calls: Call[] = [];
  const told: [string, unknown][] = [];
  const log: Logger = {
    debug: () => undefined,
    info: (event, fields) => void told.push([event, fields]),
    warn: (event, fields) => void told.push([event, fields]),
    error: (event, fields) => void told.push([event, fields]),
  };
  const asker = new Asker({
    clock,
    log,
    timeoutMs: 1000,
    concurrencyMax: options.concurrencyMax ?? 2,
    queueMax: options.queueMax ?? 3,
    call: (body, signal) =>
      new Promise<CallAnswer>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
        calls.push({
          body,
          answer: (text = "yes") => resolve({ status: 200, text }),
          fail: (reason) => reject(new Error(reason)),
        });
      }),
  });
  const outcomes: string[] = [];
  const ask = (body: string, read: (answer: CallAnswer) => string = ({ text }) => text): Promise<void> =>
    asker.ask("connect", body, read).then(
      (text) => void outcomes.push(`${body}: ${text}`),
      (error: unknown) => void outcomes.push(`${body}: ${error instanceof ReplyError ? error.error : String(error)}`),
    );
  return { clock, calls, told, asker, outcomes, ask };
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("turns", () => {
  test("[HK-11] so many are asked at a time, the others wait in their order, and beyond that they are told to come back", async () => {
    const { calls, outcomes, ask, told } = build();
    for (const name of ["a", "b", "c", "d", "e", "f"]) void ask(name);
    await turn();
    expect(calls.map(({ body }) => body)).toEqual(["a", "b"]);
    expect(outcomes).toEqual(["f: unavailable"]);
    expect(told).toMatchObject([["hook failed", { hook: "connect", reason: expect.stringContaining("hookQueueMax") }]]);
    calls[1]?.answer();
    await turn();
    expect(calls.map(({ body }) => body)).toEqual(["a", "b", "c"]);
    for (let at = 0; at < 5; at++) {
      if (at !== 1) calls[at]?.answer();
      await turn();
    }
    expect(outcomes).toEqual(["f: unavailable", "b: yes", "a: yes", "c: yes", "d: yes", "e: yes"]);
  });

  test("[HK-11] the time of a question runs while it waits for its turn, and one that is over takes no turn", async () => {
    const { clock, calls, outcomes, ask } = build({ concurrencyMax: 1 });
    void ask("a");
    void ask("b");
    await turn();
    clock.advance(600);
    void ask("c");
    await turn();
    clock.advance(400);
    await turn();
    expect(outcomes.toSorted()).toEqual(["a: unavailable", "b: unavailable"]);
    expect(calls.map(({ body }) => body)).toEqual(["a", "c"]);
    calls[1]?.answer();
    await turn();
    expect(outcomes.at(-1)).toBe("c: yes");
    expect(clock.timers).toBe(0);
  });

  test("[HK-11] a failed question gives its place back", async () => {
    const { calls, outcomes, ask } = build({ concurrencyMax: 1 });
    for (const name of ["a", "b"]) void ask(name);
    await turn();
    calls[0]?.fail("reset");
    await turn();
    calls[1]?.answer();
    await turn();
    expect(outcomes).toEqual(["a: unavailable", "b: yes"]);
  });

  test("[HK-10] a server that stops gives up on every question, without a word in the log", async () => {
    const { asker, outcomes, ask, told, clock } = build({ concurrencyMax: 1 });
    for (const name of ["a", "b"]) void ask(name);
    await turn();
    asker.stop();
    await turn();
    await ask("c");
    expect(outcomes.toSorted()).toEqual(["a: unavailable", "b: unavailable", "c: unavailable"]);
    expect([told, clock.timers]).toEqual([[], 0]);
  });
});

describe("outcomes", () => {
  test("[HK-4] [HK-5] a refusal is no failure, nonsense is one, and the client is not told which", async () => {
    const { asker, calls, told } = build();
    const failureOf = (thrown: Error): Promise<unknown> =>
      asker
        .ask("connect", "q", () => {
          throw thrown;
        })
        .catch((error: unknown) => error);
    const both = Promise.all([failureOf(new ReplyError("forbidden", "no")), failureOf(new Nonsense("status 500"))]);
    await turn();
    for (const call of calls) call.answer();
    const [refused, failure] = await both;
    expect(refused).toMatchObject({ error: "forbidden" });
    expect(failure).toMatchObject({
      error: "unavailable",
      message: "the service is not available at the moment: the application cannot be asked",
    });
    expect((failure as ReplyError).retryMs).toBeGreaterThan(0);
    expect(told).toEqual([["hook failed", { hook: "connect", reason: "status 500", failures: 1 }]]);
  });

  test("[HK-5] an outage stands in the log once, again each minute, and its end", async () => {
    const { ask, calls, told, clock } = build();
    const one = async (end: (call: Call | undefined) => void): Promise<void> => {
      void ask("q");
      await turn();
      end(calls.at(-1));
      await turn();
    };
    const fail = (): Promise<void> => one((call) => call?.fail("refused"));
    const succeed = (): Promise<void> => one((call) => call?.answer());
    for (let n = 0; n < 10; n++) {
      await fail();
      // Half of them: that is no end.
      await succeed();
    }
    expect(told).toEqual([["hook failed", { hook: "connect", reason: "refused", failures: 1 }]]);
    clock.advance(60_000);
    await fail();
    expect(told.slice(1)).toMatchObject([["hook failed", { failures: 11 }]]);
    clock.advance(10_000);
    await succeed();
    await succeed();
    expect(told.slice(2)).toEqual([["hook answers again", { failures: 11 }]]);
    await fail();
    expect(told.slice(3)).toMatchObject([["hook failed", { failures: 1 }]]);
  });
});
