import { expect, test } from "bun:test";
import type { Clock } from "./clock.ts";
import { LoopLag } from "./loop-lag.ts";

/** A loop whose timers the test runs when it likes. */
class LateClock implements Clock {
  at = 0;
  tick: (() => void) | undefined = undefined;

  now(): number {
    return this.at;
  }

  uptime(): number {
    return this.at;
  }

  after(): { cancel: () => void } {
    throw new Error("not needed");
  }

  every(_: number, run: () => void): { cancel: () => void } {
    this.tick = run;
    return { cancel: () => (this.tick = undefined) };
  }

  /** The next tick comes after so many milliseconds. */
  turn(ms: number): void {
    this.at += ms;
    this.tick?.();
  }
}

test("[LM-5] a loop in time has no lag; the timer ends when nobody asks for ten seconds, and begins again", () => {
  const clock = new LateClock();
  const lag = new LoopLag(clock);
  expect(clock.tick).toBeUndefined();
  expect(lag.ms()).toBe(0);
  for (let count = 0; count < 99; count++) clock.turn(100);
  expect(clock.tick).toBeDefined();
  expect(lag.ms()).toBe(0);
  for (let count = 0; count < 100; count++) clock.turn(100);
  expect(clock.tick).toBeUndefined();
  // What passed meanwhile is no lag.
  clock.turn(60_000);
  expect(lag.ms()).toBe(0);
  expect(clock.tick).toBeDefined();
});

test("[LM-5] one pause is forgiven, a loop that stays late is not, and is believed again when it is in time", () => {
  const clock = new LateClock();
  const lag = new LoopLag(clock);
  lag.ms();
  clock.turn(1100);
  expect(lag.ms()).toBe(250);
  for (let count = 0; count < 10; count++) clock.turn(1100);
  expect(lag.ms()).toBeGreaterThan(900);
  for (let count = 0; count < 10; count++) clock.turn(100);
  expect(lag.ms()).toBeLessThan(100);
});

test("[LM-5] what is late at this very moment counts before its tick has come", () => {
  const clock = new LateClock();
  const lag = new LoopLag(clock);
  lag.ms();
  clock.at += 4100;
  expect(lag.ms()).toBe(1000);
});
