/**
 * What every StateStore promises (ports/state.ts). Call it from a test file of the engine. An engine that goes by a clock of its own (Redis's) is told so:
 * time is then waited for, shortly, where it is moved by hand else.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Position } from "@longwire/protocol";
import { ReplyError } from "../../src/base/failures.ts";
import type { Engine } from "../../src/ports/engine.ts";
import { DEVICES_MAX, type StateStore } from "../../src/ports/state.ts";
import { draftOf, type OpenEngine, RecordingSink, settingsOf } from "../support/engine.ts";
import { FakeClock } from "../support/fake-clock.ts";

const at = (offset: number): Position => ({ epoch: "e1", offset });

export function stateContract(engineName: string, open: OpenEngine, time: "by hand" | "its own" = "by hand"): void {
  const isByHand = time === "by hand";

  describe(`state contract: ${engineName}`, () => {
    let clock: FakeClock;
    let engine: Engine;
    let state: StateStore;

    beforeEach(async () => {
      clock = new FakeClock();
      engine = await open(settingsOf({ positionTtlMs: 600_000 }), new RecordingSink(), clock);
      state = engine.state;
    });

    afterEach(() => engine.close());

    async function pass(ms: number): Promise<void> {
      if (isByHand) clock.advance(ms);
      else await Bun.sleep(ms);
    }

    test("[EN-9] values are set, read, replaced and removed", async () => {
      expect(await state.get("k")).toBeUndefined();
      await state.set("k", '{"a":"你"}', undefined);
      expect(await state.get("k")).toBe('{"a":"你"}');
      await state.set("k", "2", undefined);
      expect(await state.get("k")).toBe("2");
      expect(await state.remove("k")).toBe(true);
      expect(await state.remove("k")).toBe(false);
      expect(await state.get("k")).toBeUndefined();
    });

    test("[EN-9] a call sees the calls before it, awaited or not", async () => {
      const calls = [
        state.set("k", "1", undefined),
        state.get("k"),
        state.add("k", 4, undefined),
        state.get("k"),
        state.remove("k"),
        state.get("k"),
      ];
      expect(await Promise.all(calls)).toEqual([undefined, "1", 5, "5", true, undefined]);
    });

    test("[EN-9] a key that is touched lives for so long from then on", async () => {
      const [early, later] = isByHand ? [900, 4_900] : [300, 1_500];
      expect(await state.touch("k", 1_000)).toBe(false);
      await state.set("k", "7", 1_000);
      await pass(early);
      expect(await state.touch("k", 5_000)).toBe(true);
      await pass(later);
      expect(await state.get("k")).toBe("7");
      expect(await state.touch("k", 50)).toBe(true);
      await pass(isByHand ? 50 : 100);
      expect(await state.get("k")).toBeUndefined();
      await state.set("for ever", "7", undefined);
      expect(await state.touch("for ever", 100)).toBe(true);
      await pass(isByHand ? 100 : 200);
      expect(await state.touch("for ever", 1_000)).toBe(false);
    });

    test("[EN-9] an expired key is as if never set", async () => {
      const [ttlMs, nearly, rest] = isByHand ? [1_000, 999, 1] : [1_000, 300, 1_000];
      await state.set("k", "7", ttlMs);
      await pass(nearly);
      expect(await state.get("k")).toBe("7");
      await pass(rest);
      expect(await state.get("k")).toBeUndefined();
      expect(await state.remove("k")).toBe(false);
      await state.set("k", "7", 50);
      await pass(isByHand ? 50 : 100);
      expect(await state.add("k", 1, undefined)).toBe(1);
      await pass(isByHand ? 100_000 : 100);
      expect(await state.get("k")).toBe("1");
    });

    test("[EN-9] adding counts from 0, keeps the expiry unless it is told another", async () => {
      expect(await state.add("k", 2, 1_000)).toBe(2);
      expect(await state.add("k", -0.5, undefined)).toBe(1.5);
      await pass(isByHand ? 999 : 300);
      expect(await state.add("k", 1, 5_000)).toBe(2.5);
      await pass(isByHand ? 4_999 : 1_500);
      expect(await state.get("k")).toBe("2.5");
      if (isByHand) {
        await pass(1);
        expect(await state.get("k")).toBeUndefined();
      }
      await state.add("brief", 2, 300);
      await state.add("brief", 2, undefined);
      await pass(400);
      expect(await state.get("brief")).toBeUndefined();
    });

    test("[EN-9] sums are written as JavaScript writes numbers", async () => {
      const numbers = [0.1, -0.5, 3e-7, 1e-6, 5e-324, 4.35, 2 ** 53, 123_456_789_012_345_680_000, 1e21, -1e300, 2 / 3];
      for (const [at, number] of numbers.entries()) {
        await state.set(`n${at}`, JSON.stringify(number), undefined);
        for (const amount of [0, 0.2, -number, -0]) {
          const sum = (JSON.parse((await state.get(`n${at}`)) ?? "") as number) + amount;
          expect(await state.add(`n${at}`, amount, undefined)).toBe(sum === 0 ? 0 : sum);
          expect(await state.get(`n${at}`)).toBe(JSON.stringify(sum));
        }
      }
    });

    test("[EN-9] adding to what is no number is badField and changes nothing", async () => {
      await state.set("k", '"text"', undefined);
      await state.set("big", "1e308", undefined);
      for (const [key, amount] of [
        ["k", 1],
        ["big", 1.7e308],
      ] as const) {
        const failure: unknown = await state.add(key, amount, undefined).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ReplyError);
        expect((failure as ReplyError).error).toBe("badField");
      }
      expect(await state.get("k")).toBe('"text"');
    });

    test("[EN-10] an acknowledged position moves only forwards within an epoch", async () => {
      expect(await state.position("a", "bob")).toBeUndefined();
      expect(await state.acknowledge("a", "bob", { epoch: "e1", offset: 5 })).toEqual({ epoch: "e1", offset: 5 });
      expect(await state.acknowledge("a", "bob", { epoch: "e1", offset: 3 })).toEqual({ epoch: "e1", offset: 5 });
      expect(await state.position("a", "bob")).toEqual({ epoch: "e1", offset: 5 });
      await state.acknowledge("a", "bob", { epoch: "e2", offset: 1 });
      expect(await state.position("a", "bob")).toEqual({ epoch: "e2", offset: 1 });
      expect(await state.position("a", "eve")).toBeUndefined();
      expect(await state.position("b", "bob")).toBeUndefined();
    });

    test("[IN-3] a user has so many devices in a channel: a further one takes the place of that acknowledged longest ago", async () => {
      const others = ["bob", "bobby", "bobby,0", "bob-0", "bo,0"];
      for (const holder of [...others, "bob,0", "bob,1", "bob,2"]) await state.acknowledge("a", holder, at(2));
      await state.acknowledge("b", "bob,1", at(2));
      for (let device = 3; device < DEVICES_MAX; device++) await state.acknowledge("a", `bob,${device}`, at(2));
      await state.acknowledge("a", "bob,0", at(3));
      // Moves nothing, so it counts for nothing.
      await state.acknowledge("a", "bob,1", at(1));
      const held = async () => {
        const holders = [...others, ...Array.from({ length: DEVICES_MAX }, (_, device) => `bob,${device}`), "bob,x,y"];
        const positions = await Promise.all(holders.map((holder) => state.position("a", holder)));
        return holders.filter((_, index) => positions[index] === undefined);
      };
      expect(await held()).toEqual(["bob,x,y"]);
      await state.acknowledge("a", "bob,x,y", at(1));
      expect(await held()).toEqual(["bob,1"]);
      await Promise.all([state.acknowledge("a", "bob,1", at(2)), state.acknowledge("a", "bob", at(4))]);
      expect(await held()).toEqual(["bob,2"]);
      expect(await state.position("b", "bob,1")).toEqual(at(2));
    });

    // An engine with a clock of its own tests this by itself: how long it takes is its own affair.
    if (!isByHand) return;

    test("[EN-16] positions go with the numbering of their channel", async () => {
      const { epoch, offset } = await engine.broker.publish("a", draftOf("x"));
      await state.acknowledge("a", "bob", { epoch, offset });
      clock.advance(590_000);
      expect(await state.position("a", "bob")).toEqual({ epoch, offset });
      clock.advance(60_000);
      await state.set("another", "write", undefined);
      expect(await state.position("a", "bob")).toBeUndefined();
    });
  });
}
