import { expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { tidyAfterRush } from "./tidy.ts";

test("garbage is collected once after a rush, not in it, and not for a trickle", () => {
  const clock = new FakeClock();
  let changes = 0;
  let collections = 0;
  const timer = tidyAfterRush(
    clock,
    () => changes,
    () => collections++,
  );
  const second = (more: number): number => {
    changes += more;
    clock.advance(1000);
    return collections;
  };
  expect([second(5000), second(5000), second(50), second(0), second(0)]).toEqual([0, 0, 1, 1, 1]);
  for (let n = 0; n < 15; n++) second(100);
  expect(collections).toBe(1);
  expect(second(2500)).toBe(1);
  expect(second(0)).toBe(2);
  timer.cancel();
  expect(clock.timers).toBe(0);
});
