import { expect, test } from "bun:test";
import { createSignalHandler, SAME_SIGNAL_MS } from "./signals.ts";

test("the first signal asks to stop, the same by another way is nothing new, one more does not wait", async () => {
  let now = 1000;
  let agains = 0;
  const signals = createSignalHandler({ now: () => now }, () => agains++);
  signals.receive();
  await signals.first;
  now += SAME_SIGNAL_MS;
  signals.receive();
  expect(agains).toBe(0);
  now += 1;
  signals.receive();
  expect(agains).toBe(1);
});
