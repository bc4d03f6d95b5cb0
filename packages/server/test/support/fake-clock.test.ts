import { expect, test } from "bun:test";
import { FakeClock } from "./fake-clock.ts";

test("timers run in the order of their times, at their times", () => {
  const clock = new FakeClock(1_000);
  const ran: [string, number][] = [];
  const note = (name: string) => () => ran.push([name, clock.now()]);
  clock.every(40, note("every"));
  clock.after(100, note("after"));
  clock.after(100, note("same time, set later"));
  const cancelled = clock.after(50, note("cancelled"));
  clock.after(10, () => {
    cancelled.cancel();
    clock.after(5, note("nested"));
  });
  clock.advance(100);
  expect(ran).toEqual([
    ["nested", 1_015],
    ["every", 1_040],
    ["every", 1_080],
    ["after", 1_100],
    ["same time, set later", 1_100],
  ]);
  expect(clock.now()).toBe(1_100);
  expect(clock.timers).toBe(1);
});
