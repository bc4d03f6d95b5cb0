/**
 * What every NodeBus promises (ports/node-bus.ts). Call it from a test file of the engine.
 *
 *     nodeBusContract("remote", async (answerings) => {
 *       // as many peers as answerings; `bus.listen(answering)` in the turn in which each is opened
 *       return { buses, elapse: Bun.sleep, kill, close };
 *     });
 */
import { afterEach, describe, expect, test } from "bun:test";
import type { Json } from "@longwire/protocol";
import { ReplyError } from "../../src/base/failures.ts";
import { type Answering, ASK_MS, type NodeBus, PEER_LENGTH } from "../../src/ports/node-bus.ts";

export interface BusHouse {
  readonly buses: readonly NodeBus[];
  /** Lets time pass: the clock's where it is a fake one. */
  elapse(ms: number): Promise<void>;
  /** The peer dies without a word. Resolves when the others have to know, after the engine's expiry. */
  kill(at: number): Promise<void>;
  close(): Promise<void>;
}

/** Opens peers that know of each other when it resolves. */
export type OpenBuses = (answerings: readonly Answering[]) => Promise<BusHouse>;

const echo: Answering = (question) => Promise.resolve(question);

function named(name: string): Answering {
  return () => Promise.resolve(name);
}

function failureOf(asked: Promise<unknown>): Promise<unknown> {
  return asked.then(
    () => "it was answered",
    (error: unknown) => error,
  );
}

export function nodeBusContract(engineName: string, open: OpenBuses): void {
  describe(`node bus contract: ${engineName}`, () => {
    let house: BusHouse | undefined;

    async function build(...answerings: Answering[]): Promise<{ a: NodeBus; b: NodeBus; house: BusHouse }> {
      const built = await open(answerings);
      house = built;
      const [a, b] = built.buses;
      if (a === undefined || b === undefined) throw new Error("too few buses were opened");
      return { a, b, house: built };
    }

    afterEach(async () => {
      await house?.close();
      house = undefined;
    });

    test("each peer has a mark of its own and knows the others", async () => {
      const { buses } = (await build(echo, echo, echo)).house;
      const marks = buses.map(({ self }) => self);
      expect(new Set(marks).size).toBe(3);
      for (const mark of marks) expect(mark).toMatch(new RegExp(`^[A-Za-z0-9_-]{${PEER_LENGTH}}$`));
      for (const bus of buses)
        expect(bus.peers().toSorted()).toEqual(marks.filter((mark) => mark !== bus.self).toSorted());
    });

    test("a question gets its answer, and is known by who asked", async () => {
      const { a, b } = await build(echo, (question, from) => Promise.resolve({ question, from }));
      for (const question of [null, 0, "", "你\u2028\n", [], {}, { a: [{ b: null }, true, -1.5] }, "x".repeat(300_000)])
        expect(await a.ask(b.self, question)).toEqual({ question, from: a.self });
    });

    test("questions arrive in the order in which they were asked; an answer that is late holds nobody up", async () => {
      const heard: Json[] = [];
      let release: (() => void) | undefined;
      const { a, b } = await build(echo, async (question) => {
        heard.push(question);
        if (question === 0) await new Promise<void>((resolve) => (release = resolve));
        return question;
      });
      const numbers = Array.from({ length: 200 }, (_, number) => number);
      const [first, ...rest] = numbers.map((number) => a.ask(b.self, number));
      expect(await Promise.all(rest)).toEqual(numbers.slice(1));
      expect(heard).toEqual(numbers);
      release?.();
      expect(await first).toBe(0);
    });

    test("peers may ask each other at the same time, also while they answer", async () => {
      let ask: ((question: number) => Promise<Json>) | undefined;
      const countDown: Answering = async (question) =>
        typeof question === "number" && question > 0 ? ((await ask?.(question - 1)) ?? null) : "done";
      const { a, b } = await build(countDown, (question, from) => back(question, from));
      const back: Answering = async (question, from) =>
        typeof question === "number" && question > 0 ? await b.ask(from, question - 1) : "done";
      ask = (question) => a.ask(b.self, question);
      const results = await Promise.all([a.ask(b.self, 9), b.ask(a.self, 8), a.ask(b.self, 7)]);
      expect(results).toEqual(["done", "done", "done"]);
    });

    test("what a peer refuses comes back as that", async () => {
      const { a, b } = await build(echo, (question) =>
        Promise.reject(
          question === 1
            ? new ReplyError("rateLimited", "not now", 1500)
            : question === 2
              ? new ReplyError("badField", "a fault: of two words", undefined, "user")
              : new ReplyError("notFound"),
        ),
      );
      for (const [question, expected] of [
        [1, new ReplyError("rateLimited", "not now", 1500)],
        [2, new ReplyError("badField", "a fault: of two words", undefined, "user")],
        [3, new ReplyError("notFound")],
      ] as const) {
        const failure = await failureOf(a.ask(b.self, question));
        expect(failure).toBeInstanceOf(ReplyError);
        const { error, message, code, retryMs, path } = failure as ReplyError;
        expect({ error, message, code, retryMs, path }).toEqual({
          error: expected.error,
          message: expected.message,
          code: expected.code,
          retryMs: expected.retryMs,
          path: expected.path,
        });
      }
    });

    test("a peer that throws, and one that nobody knows, are `unavailable`", async () => {
      const { a, b } = await build(echo, () => Promise.reject(new TypeError("a bug")));
      expect(await failureOf(a.ask(b.self, 1))).toMatchObject({ error: "unavailable" });
      expect(await failureOf(a.ask("nobody", 1))).toMatchObject({ error: "unavailable" });
      expect(await failureOf(a.ask("", 1))).toMatchObject({ error: "unavailable" });
    });

    test("all are asked at once, and who refuses is missing", async () => {
      const { a, house } = await build(echo, named("b"), named("c"), () => Promise.reject(new ReplyError("notFound")));
      const { answers, missing } = await a.askAll({ who: "are you" });
      expect(missing).toBe(1);
      expect(new Map(answers.map(({ peer, answer }) => [peer, answer]))).toEqual(
        new Map(house.buses.slice(1, 3).map(({ self }, at) => [self, at === 0 ? "b" : "c"])),
      );
    });

    test("a peer that does not answer in time is `unavailable`, and its late answer is nobody's", async () => {
      let release: (() => void) | undefined;
      const silent: Answering = async (question) => {
        if (question !== "now") await new Promise<void>((resolve) => (release = resolve));
        return question;
      };
      const { a, b, house } = await build(echo, silent);
      const asked = failureOf(a.ask(b.self, "later"));
      const all = a.askAll("later");
      await house.elapse(ASK_MS + 100);
      expect(await asked).toMatchObject({ error: "unavailable" });
      expect(await all).toEqual({ answers: [], missing: 1 });
      release?.();
      expect(await a.ask(b.self, "now")).toBe("now");
    });

    test("a peer that has died is no peer any more", async () => {
      const { a, b, house } = await build(echo, echo, echo);
      const waiting = failureOf(a.ask(b.self, "before"));
      await house.kill(1);
      expect(a.peers()).toEqual([house.buses[2]?.self ?? ""]);
      expect(await failureOf(a.ask(b.self, "after"))).toMatchObject({ error: "unavailable" });
      expect(await a.askAll("all")).toEqual({
        answers: [{ peer: house.buses[2]?.self ?? "", answer: "all" }],
        missing: 0,
      });
      // Whether it was heard before the death is open; that it ends is not.
      await house.elapse(ASK_MS + 100);
      const end = await waiting;
      expect(end === "it was answered" || end instanceof ReplyError).toBeTrue();
    });
  });
}
