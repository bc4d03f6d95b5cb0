import { expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import type { Disconnect } from "../base/failures.ts";
import { Admission, type AdmissionParts, refusalAt } from "./admission.ts";

interface Rig {
  readonly admission: Admission;
  readonly clock: FakeClock;
  readonly warnings: Readonly<Record<string, unknown>>[];
}

function rigWith(parts: Partial<AdmissionParts>): Rig {
  const clock = new FakeClock();
  const warnings: Readonly<Record<string, unknown>>[] = [];
  const admission = new Admission({
    clock,
    log: {
      debug: () => undefined,
      info: () => undefined,
      warn: (event, fields) => warnings.push({ event, ...fields }),
      error: () => undefined,
    },
    connections: () => 0,
    connectionsMax: 100,
    handshakesPerSecond: Infinity,
    lagMs: () => 0,
    loopLagMsMax: 500,
    memoryBytes: () => 1,
    memoryBytesMax: 1000,
    collect: () => undefined,
    ...parts,
  });
  return { admission, clock, warnings };
}

function refusalOf(ask: () => number): Disconnect | number {
  try {
    return ask();
  } catch (error) {
    return error as Disconnect;
  }
}

test("[LM-1] the last place is given, one more client is turned away with the limit and when to come back", () => {
  let connections = 99;
  const { admission } = rigWith({ connections: () => connections });
  expect(admission.ask()).toBe(0);
  connections = 100;
  const refusal = refusalOf(() => admission.ask());
  expect(refusal).toMatchObject({ code: 4205, reconnect: true, afterMs: 10_000 });
  expect((refusal as Disconnect).message).toContain("at most 100 connections (connectionsMax)");
  expect(refusalOf(() => admission.ask({ isKnown: true }))).toMatchObject({ code: 4205 });
  connections = 99;
  expect(admission.ask()).toBe(0);
});

test("[LM-4] as many as allowed come in at once, as many again wait for at most a second, one more is turned away", () => {
  const { admission, clock } = rigWith({ handshakesPerSecond: 4 });
  const waits = Array.from({ length: 8 }, () => admission.ask());
  expect(waits).toEqual([0, 0, 0, 0, 250, 500, 750, 1000]);
  const refusal = refusalOf(() => admission.ask());
  expect((refusal as Disconnect).message).toContain("at most 4 new connections per second (handshakesPerSecond)");
  expect((refusal as Disconnect).afterMs).toBeGreaterThanOrEqual(1000);
  // Those who were here a moment ago are no newcomers; those who cannot wait are told at once.
  expect(admission.ask({ isKnown: true })).toBe(0);
  expect(refusalAt(admission)).toMatchObject({ code: 4205 });
  clock.advance(1250);
  expect(refusalAt(admission)).toBeUndefined();
  expect(refusalAt(admission)).toMatchObject({ code: 4205 });
});

test("[LM-5] a loop that is late up to the mark is no reason, later than that it is", () => {
  let lagMs = 500;
  const { admission } = rigWith({ lagMs: () => lagMs });
  expect(admission.ask()).toBe(0);
  lagMs = 501;
  expect((refusalOf(() => admission.ask()) as Disconnect).message).toContain("more than 500 ms (loopLagMsMax)");
  expect(admission.ask({ isKnown: true })).toBe(0);
});

test("[LM-6] memory up to the mark is no reason, more than that is; garbage is looked for now and then", () => {
  let bytes = 1000;
  let collections = 0;
  const { admission, clock } = rigWith({ memoryBytes: () => bytes, collect: () => void collections++ });
  expect(admission.ask()).toBe(0);
  bytes = 1001;
  clock.advance(250);
  for (let count = 0; count < 5; count++) {
    expect((refusalOf(() => admission.ask()) as Disconnect).message).toContain(
      "more than 1000 bytes of memory are in use (memoryBytesMax)",
    );
  }
  expect(collections).toBe(1);
  clock.advance(10_000);
  expect(refusalOf(() => admission.ask())).toMatchObject({ code: 4205 });
  expect(collections).toBe(2);
  bytes = 1000;
  clock.advance(250);
  expect(admission.ask()).toBe(0);
});

test("the log hears of those turned away once in a while, with their number", () => {
  const { admission, clock, warnings } = rigWith({ connectionsMax: 0 });
  for (let count = 0; count < 1000; count++) refusalOf(() => admission.ask());
  expect(warnings).toMatchObject([{ event: "turns clients away", clients: 1 }]);
  clock.advance(10_000);
  refusalOf(() => admission.ask());
  expect(warnings).toHaveLength(2);
  expect(warnings[1]).toMatchObject({ clients: 1000 });
});
