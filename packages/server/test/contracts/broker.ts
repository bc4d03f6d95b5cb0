/**
 * What every broker promises (ports/broker.ts). Call it from a test file of the engine. An engine that goes by a clock of its own (Redis's) is told so:
 * time is then waited for, shortly, where it is moved by hand else.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ReplyError } from "../../src/base/failures.ts";
import type { Broker, HistoryQuery, Retention } from "../../src/ports/broker.ts";
import type { Engine } from "../../src/ports/engine.ts";
import { draftOf, type OpenEngine, RecordingSink, RETENTION, settingsOf } from "../support/engine.ts";
import { FakeClock } from "../support/fake-clock.ts";

/** Retention by channel name, for the tests that need another. */
const RETENTIONS: Readonly<Record<string, Retention>> = {
  short: { size: 3, ttlMs: 60_000 },
  none: { size: 0, ttlMs: 60_000 },
  brief: { size: 100, ttlMs: 5_000 },
  briefest: { size: 100, ttlMs: 2_000 },
};

const retentionOf = (channel: string): Retention => RETENTIONS[channel] ?? RETENTION;

const PAGE = { limit: 1_000, bytesMax: 1_000_000 };

export function brokerContract(
  engineName: string,
  open: OpenEngine,
  time: "by hand" | "its own" = "by hand",
  stores: "one" | "several" = "one",
): void {
  describe(`broker contract: ${engineName}`, () => {
    let clock: FakeClock;
    let sink: RecordingSink;
    let engine: Engine;
    let broker: Broker;

    beforeEach(async () => {
      clock = new FakeClock();
      sink = new RecordingSink();
      engine = await open(settingsOf({ retentionOf, positionTtlMs: 600_000 }), sink, clock);
      broker = engine.broker;
    });

    afterEach(() => engine.close());

    /** Publishes `from` to `to` as data, all in one turn. */
    async function publishAll(channel: string, from: number, to: number): Promise<number[]> {
      const published = [];
      for (let number = from; number <= to; number++) published.push(broker.publish(channel, draftOf(`${number}`)));
      return (await Promise.all(published)).map(({ offset }) => offset);
    }

    async function pass(ms: number): Promise<void> {
      if (time === "by hand") clock.advance(ms);
      else await Bun.sleep(ms);
    }

    async function offsetsOf(channel: string, query: Partial<HistoryQuery> = {}): Promise<number[]> {
      const page = await broker.history(channel, { from: "earliest", ...PAGE, ...query });
      return page.publications.map(({ offset }) => offset);
    }

    describe("publish", () => {
      test("[EN-1] offsets are 1, 2, 3, … per channel in the order of the calls", async () => {
        expect(await publishAll("a", 1, 5)).toEqual([1, 2, 3, 4, 5]);
        expect(await publishAll("b", 1, 2)).toEqual([1, 2]);
        expect(await publishAll("a", 6, 7)).toEqual([6, 7]);
      });

      test("[EN-1] the epoch stays the same", async () => {
        const first = await broker.publish("a", draftOf("1"));
        const second = await broker.publish("a", draftOf("2"));
        expect(second.epoch).toBe(first.epoch);
        expect(first.repeated).toBe(false);
      });

      test("[EN-2] the sink has it before publish resolves, whole, with the epoch of the answer", async () => {
        await broker.subscribe("a");
        const carried = {
          data: '"eA=="',
          encoding: "base64" as const,
          name: "greeting",
          user: "bob",
          session: "s1",
          exclude: "s2",
        };
        const { epoch } = await broker.publish("a", { ...carried, keep: true });
        const now = time === "by hand" ? clock.now() : sink.delivered[0]?.publication.time;
        if (time === "its own") expect(Math.abs((now ?? 0) - Date.now())).toBeLessThan(60_000);
        const publication = { offset: 1, time: now ?? 0, ...carried };
        expect(sink.delivered).toEqual([{ channel: "a", epoch, publication }]);
        const page = await broker.history("a", { from: "earliest", ...PAGE });
        expect(page.publications).toEqual([publication]);
      });

      test("[EN-3] only subscribed channels reach the sink, each publication once, order across channels kept", async () => {
        await broker.subscribe("a");
        await broker.subscribe("a");
        await broker.subscribe("b");
        const drafts: [string, string][] = [
          ["a", "1"],
          ["b", "2"],
          ["c", "3"],
          ["a", "4"],
          ["b", "5"],
        ];
        await Promise.all(drafts.map(([channel, data]) => broker.publish(channel, draftOf(data))));
        const data = ['"1"', '"2"', '"4"', '"5"'];
        // Several stores do not know of each other.
        expect(stores === "one" ? sink.data : sink.data.toSorted()).toEqual(data);
        expect(sink.offsets("a")).toEqual([1, 2]);
        expect(sink.offsets("b")).toEqual([1, 2]);
      });

      test("[EN-3] a sink that publishes gets the second after the first", async () => {
        await broker.subscribe("a");
        const finished: string[] = [];
        let answer: Promise<unknown> = Promise.resolve();
        sink.after = ({ publication }) => {
          if (publication.offset === 1) answer = broker.publish("a", draftOf("second"));
          finished.push(publication.data);
        };
        await broker.publish("a", draftOf("first"));
        await answer;
        expect(finished).toEqual(['"first"', '"second"']);
        expect(sink.offsets("a")).toEqual([1, 2]);
      });

      test("text of every kind comes back as it was", async () => {
        for (const data of ["", "null", '"\\u0000\\ud800"', '"你好 👋"', "\u0000", "x".repeat(70_000)]) {
          const { offset } = await broker.publish("a", { data, name: data.slice(0, 5), keep: true });
          const page = await broker.history("a", { from: "latest", reverse: true, limit: 1, bytesMax: 1 });
          expect(page.publications[0]).toMatchObject({ offset, data, name: data.slice(0, 5) });
        }
      });
    });

    describe("subscribe", () => {
      test("[EN-3] resolves to the top; of a fresh channel to offset 0 of the epoch that it then has", async () => {
        const fresh = await broker.subscribe("a");
        expect(fresh.offset).toBe(0);
        const { epoch } = await broker.publish("a", draftOf("1"));
        expect(epoch).toBe(fresh.epoch);
        expect(await broker.subscribe("a")).toEqual({ epoch, offset: 1 });
      });

      test("[EN-3] after unsubscribe nothing comes, after subscribing again it goes on", async () => {
        await broker.subscribe("a");
        await publishAll("a", 1, 1);
        broker.unsubscribe("a");
        broker.unsubscribe("never subscribed");
        await publishAll("a", 2, 2);
        await broker.subscribe("a");
        await publishAll("a", 3, 3);
        expect(sink.offsets("a")).toEqual([1, 3]);
      });

      test("[RE-8] a position handed out before the first publication is still good after it", async () => {
        const fresh = await broker.subscribe("a");
        broker.unsubscribe("a");
        await publishAll("a", 1, 2);
        expect(await offsetsOf("a", { from: fresh })).toEqual([1, 2]);
        const { top } = await broker.history("b", { from: "latest", ...PAGE });
        await publishAll("b", 1, 2);
        expect(await offsetsOf("b", { from: top })).toEqual([1, 2]);
      });
    });

    describe("keep: false", () => {
      test("[EN-17] reaches the sink in order, unnumbered, and is in no history", async () => {
        await broker.subscribe("a");
        const drafts = [draftOf("1"), draftOf("2", { keep: false }), draftOf("3")];
        const answers = await Promise.all(drafts.map((draft) => broker.publish("a", draft)));
        expect(answers.map(({ offset }) => offset)).toEqual([1, 1, 2]);
        expect(sink.data).toEqual(['"1"', '"2"', '"3"']);
        expect(sink.offsets("a")).toEqual([1, 0, 2]);
        expect(await offsetsOf("a")).toEqual([1, 2]);
      });

      test("[PU-4] its key works too", async () => {
        await broker.subscribe("a");
        const draft = draftOf("x", { keep: false, key: "k" });
        const first = await broker.publish("a", draft);
        await publishAll("a", 1, 1);
        expect(await broker.publish("a", draft)).toEqual({ ...first, repeated: true });
        expect(sink.data).toEqual(['"x"', '"1"']);
      });
    });

    describe("idempotency keys", () => {
      test("[PU-4] the same key stores nothing and gets the first answer", async () => {
        await broker.subscribe("a");
        const first = await broker.publish("a", draftOf("x", { key: "k", name: "n" }));
        await publishAll("a", 1, 1);
        expect(await broker.publish("a", draftOf("x", { key: "k", name: "n" }))).toEqual({ ...first, repeated: true });
        expect(sink.offsets("a")).toEqual([1, 2]);
        expect(await offsetsOf("a")).toEqual([1, 2]);
      });

      test("[PU-4] twice in one turn: the second gets the answer of the first", async () => {
        const draft = draftOf("x", { key: "k" });
        const answers = await Promise.all([broker.publish("a", draft), broker.publish("a", draft)]);
        expect(answers.map(({ offset, repeated }) => [offset, repeated])).toEqual([
          [1, false],
          [1, true],
        ]);
      });

      test("[PU-4] other data or another name is a conflict and uses no offset", async () => {
        await broker.publish("a", draftOf("x", { key: "k", name: "n" }));
        for (const draft of [draftOf("y", { key: "k", name: "n" }), draftOf("x", { key: "k" })]) {
          const failure: unknown = await broker.publish("a", draft).catch((error: unknown) => error);
          expect(failure).toBeInstanceOf(ReplyError);
          expect((failure as ReplyError).error).toBe("conflict");
        }
        expect(await publishAll("a", 1, 1)).toEqual([2]);
      });

      test("[BI-4] the same text under another encoding is a conflict, under the same one a repetition", async () => {
        const text = draftOf("eA==", { key: "text" });
        const bytes = draftOf("eA==", { key: "bytes", encoding: "base64" });
        for (const draft of [text, bytes]) {
          const { offset } = await broker.publish("a", draft);
          expect(await broker.publish("a", draft)).toMatchObject({ offset, repeated: true });
        }
        for (const draft of [
          { ...text, encoding: "base64" as const },
          { ...bytes, encoding: undefined },
        ]) {
          expect(await broker.publish("a", draft).catch((error: unknown) => error)).toMatchObject({
            error: "conflict",
          });
        }
        expect(await publishAll("a", 1, 1)).toEqual([3]);
      });

      test("[PU-4] a conflict in one turn leaves its neighbours alone", async () => {
        const results = await Promise.allSettled([
          broker.publish("a", draftOf("1", { key: "k" })),
          broker.publish("a", draftOf("2", { key: "k" })),
          broker.publish("a", draftOf("3")),
        ]);
        expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect(await offsetsOf("a")).toEqual([1, 2]);
      });

      test("[PU-4] keys of different channels do not touch", async () => {
        const draft = draftOf("x", { key: "k" });
        await broker.publish("a", draft);
        expect((await broker.publish("b", draft)).repeated).toBe(false);
        expect((await broker.publish("a", draft)).repeated).toBe(true);
      });

      test("[PU-4] the window ends", async () => {
        const windowMs = time === "by hand" ? 300_000 : 1_500;
        const brief = await open(settingsOf({ idempotencyMs: windowMs }), sink, clock);
        const draft = draftOf("x", { key: "k" });
        await brief.broker.publish("a", draft);
        await pass(windowMs - (time === "by hand" ? 1 : 1_000));
        expect((await brief.broker.publish("a", draft)).repeated).toBe(true);
        await pass(time === "by hand" ? 1 : 1_200);
        expect(await brief.broker.publish("a", draft)).toMatchObject({ offset: 2, repeated: false });
        expect((await brief.broker.publish("a", draft)).repeated).toBe(true);
        await brief.close();
      });
    });

    describe("too many idempotency keys", () => {
      // An engine with a clock of its own has a memory of its own too, whose budget is not ours.
      if (time === "its own") return;

      test("[PU-8] a new key is refused, known keys and publications without key go on, until the window ends", async () => {
        const small = await open(settingsOf({ idempotencyBytesMax: 1_100 }), sink, clock);
        const publish = (key: string, data = "x"): Promise<unknown> =>
          small.broker.publish("a", draftOf(data, { key })).then(
            ({ offset }) => offset,
            (error: unknown) => (error instanceof ReplyError ? [error.error, error.retryMs] : error),
          );
        expect(await publish("k1")).toBe(1);
        clock.advance(1_000);
        // In one turn: those that fit are kept, those that do not use no offset.
        const answers = await Promise.all(["k2", "k3", "k4", "k5", "k6"].map((key) => publish(key)));
        const refused: unknown = ["unavailable", 299_000];
        expect(answers).toEqual([2, 3, 4, refused, refused]);
        expect(await publish("k3")).toBe(3);
        expect(await publish("k3", "y")).toEqual(["conflict", undefined]);
        expect((await small.broker.publish("a", draftOf("z"))).offset).toBe(5);
        clock.advance(300_000);
        await small.broker.publish("a", draftOf("z"));
        expect(await publish("k5")).toBe(7);
        await small.close();
      });
    });

    describe("retention", () => {
      test("[EN-5] keeps the last `size`", async () => {
        await publishAll("short", 1, 5);
        expect(await offsetsOf("short")).toEqual([3, 4, 5]);
      });

      test("[EN-5] never shows what is older than `ttlMs`, whether swept or not", async () => {
        const [name, early, late, long] =
          time === "by hand" ? (["brief", 4_999, 1, 60_000] as const) : (["briefest", 1_200, 1_000, 2_500] as const);
        await publishAll(name, 1, 2);
        await pass(early);
        await publishAll(name, 3, 3);
        expect(await offsetsOf(name)).toEqual([1, 2, 3]);
        await pass(late);
        expect(await offsetsOf(name)).toEqual([3]);
        await pass(long);
        expect(await broker.channels({ prefix: name, limit: 10 })).toMatchObject([{ top: { offset: 3 }, kept: 0 }]);
        expect(await publishAll(name, 4, 4)).toEqual([4]);
      });

      test("[HI-5] size 0 numbers and keeps nothing", async () => {
        await broker.subscribe("none");
        expect(await publishAll("none", 1, 3)).toEqual([1, 2, 3]);
        expect(sink.offsets("none")).toEqual([1, 2, 3]);
        const page = await broker.history("none", { from: "earliest", ...PAGE });
        expect(page).toMatchObject({ reached: true, publications: [], more: false, top: { offset: 3 } });
      });

      // An engine with a clock of its own tests this by itself: how long it takes is its own affair.
      if (time === "its own") return;

      test("[EN-16] the numbering of an unused channel is forgotten, that of a used one is not", async () => {
        const idle = await broker.publish("idle", draftOf("x"));
        const heard = await broker.subscribe("heard");
        for (let minute = 0; minute < 11; minute++) {
          clock.advance(60_000);
          await broker.publish("busy", draftOf("x"));
        }
        // Whatever an engine has to write for it, it has written now.
        const idleNow = await broker.publish("idle", draftOf("x"));
        expect(idleNow.offset).toBe(1);
        expect(idleNow.epoch).not.toBe(idle.epoch);
        expect(await broker.publish("heard", draftOf("x"))).toMatchObject({ epoch: heard.epoch, offset: 1 });
        expect((await broker.publish("busy", draftOf("x"))).offset).toBe(12);
      });
    });

    describe("history", () => {
      test("[HI-2] after a position, before a position, from either end", async () => {
        await publishAll("a", 1, 5);
        const { top } = await broker.history("a", { from: "latest", ...PAGE });
        expect(top.offset).toBe(5);
        const at = (offset: number) => ({ epoch: top.epoch, offset });
        expect(await offsetsOf("a")).toEqual([1, 2, 3, 4, 5]);
        expect(await offsetsOf("a", { from: at(0) })).toEqual([1, 2, 3, 4, 5]);
        expect(await offsetsOf("a", { from: at(3) })).toEqual([4, 5]);
        expect(await offsetsOf("a", { from: at(5) })).toEqual([]);
        expect(await offsetsOf("a", { from: "latest" })).toEqual([]);
        expect(await offsetsOf("a", { from: "latest", reverse: true })).toEqual([5, 4, 3, 2, 1]);
        expect(await offsetsOf("a", { from: at(3), reverse: true })).toEqual([2, 1]);
        expect(await offsetsOf("a", { from: at(1), reverse: true })).toEqual([]);
        expect(await offsetsOf("a", { from: "earliest", reverse: true })).toEqual([]);
      });

      test("[EN-4] stops at `limit` and says whether there is more", async () => {
        await publishAll("a", 1, 5);
        const { top } = await broker.history("a", { from: "latest", ...PAGE });
        const page = await broker.history("a", { from: "earliest", limit: 3, bytesMax: 1_000 });
        expect(page.publications.map(({ offset }) => offset)).toEqual([1, 2, 3]);
        expect(page.more).toBe(true);
        const rest = await broker.history("a", { from: { ...top, offset: 3 }, limit: 2, bytesMax: 1_000 });
        expect(rest.publications.map(({ offset }) => offset)).toEqual([4, 5]);
        expect(rest.more).toBe(false);
        const back = await broker.history("a", { from: "latest", reverse: true, limit: 4, bytesMax: 1_000 });
        expect(back.publications.map(({ offset }) => offset)).toEqual([5, 4, 3, 2]);
        expect(back.more).toBe(true);
      });

      test("[EN-4] stops at `bytesMax`, everything of an entry counted, but returns at least one", async () => {
        const drafts = [{ data: "你好" }, { data: "1", name: "\u0001" }, { data: "2", user: "bob" }];
        for (const draft of drafts) await broker.publish("a", { ...draft, keep: true });
        const expected = [
          [0, 1, true],
          [142, 1, true],
          [143, 2, true],
          [212, 2, true],
          [213, 3, false],
        ] as const;
        for (const [bytesMax, length, more] of expected) {
          const page = await broker.history("a", { from: "earliest", limit: 10, bytesMax });
          expect([page.publications.length, page.more]).toEqual([length, more]);
        }
      });

      test("[RE-3] [RE-4] [RE-5] [RE-7] does not reach another epoch, the future, or what is no longer kept", async () => {
        await publishAll("short", 1, 5);
        const { top } = await broker.history("short", { from: "latest", ...PAGE });
        const reached = async (offset: number, reverse: boolean, epoch = top.epoch) => {
          const page = await broker.history("short", { from: { epoch, offset }, reverse, ...PAGE });
          if (!page.reached) expect(page).toEqual({ top, reached: false, publications: [], more: false });
          return page.reached;
        };
        expect(await reached(5, false, "another")).toBe(false);
        expect(await reached(0, false, "another")).toBe(false);
        expect(await reached(6, false)).toBe(false);
        expect(await reached(6, true)).toBe(false);
        expect(await reached(1, false)).toBe(false);
        expect(await reached(2, false)).toBe(true);
        expect(await reached(5, false)).toBe(true);
        expect(await reached(3, true)).toBe(false);
        expect(await reached(4, true)).toBe(true);
        expect(await reached(1, true)).toBe(true);
      });

      test("[RE-7] the top is reached where nothing is kept, anything below it is not", async () => {
        await publishAll("none", 1, 3);
        const { top } = await broker.history("none", { from: "latest", ...PAGE });
        expect(await broker.history("none", { from: top, ...PAGE })).toMatchObject({ reached: true, more: false });
        const below = { epoch: top.epoch, offset: 2 };
        expect(await broker.history("none", { from: below, ...PAGE })).toMatchObject({ reached: false });
      });
    });

    describe("clear", () => {
      test("[EN-7] empties the history; numbering and epoch go on", async () => {
        const before = await broker.publish("a", draftOf("1"));
        await publishAll("a", 2, 3);
        await broker.clear("a");
        await broker.clear("unknown");
        expect(await offsetsOf("a")).toEqual([]);
        const after = await broker.publish("a", draftOf("4"));
        expect(after).toMatchObject({ epoch: before.epoch, offset: 4, repeated: false });
        expect(await offsetsOf("a")).toEqual([4]);
        expect(await broker.history("a", { from: before, ...PAGE })).toMatchObject({ reached: false });
      });

      test("[EN-7] takes what was published before it in the same turn, and nothing after", async () => {
        const calls = [broker.publish("a", draftOf("1")), broker.clear("a"), broker.publish("a", draftOf("2"))];
        await Promise.all(calls);
        expect(await offsetsOf("a")).toEqual([2]);
      });
    });

    describe("channels", () => {
      test("[AP-11] lists what was published to, in name order, by prefix and page", async () => {
        for (const name of ["b:2", "a", "b:10", "c", "b:1"]) await publishAll(name, 1, 2);
        await publishAll("none", 1, 1);
        const names = async (query: { after?: string; prefix?: string; limit: number }) =>
          (await broker.channels(query)).map(({ channel }) => channel);
        expect(await names({ limit: 10 })).toEqual(["a", "b:1", "b:10", "b:2", "c", "none"]);
        expect(await names({ limit: 2 })).toEqual(["a", "b:1"]);
        expect(await names({ limit: 2, after: "b:1" })).toEqual(["b:10", "b:2"]);
        expect(await names({ limit: 10, prefix: "b:" })).toEqual(["b:1", "b:10", "b:2"]);
        expect(await names({ limit: 1, prefix: "b:", after: "b:10" })).toEqual(["b:2"]);
        expect(await names({ limit: 10, prefix: "x" })).toEqual([]);
        expect(await broker.channels({ limit: 1 })).toMatchObject([{ channel: "a", kept: 2, top: { offset: 2 } }]);
      });
    });
  });
}
