import { expect, test } from "bun:test";
import { createSignalHandler, SAME_SIGNAL_MS } from "./signals.ts";

test("[ST-11] the first signal asks to stop, the same by another way is nothing new, the next one hurries, the third does not wait", async () => {
  let now = 1000;
  const said: string[] = [];
  const signals = createSignalHandler(
    { uptime: () => now },
    { again: () => said.push("again"), last: () => said.push("last") },
  );
  signals.receive();
  await signals.first;
  now += SAME_SIGNAL_MS;
  signals.receive();
  expect(said).toEqual([]);
  now += 1;
  signals.receive();
  signals.receive();
  expect(said).toEqual(["again"]);
  now += SAME_SIGNAL_MS + 1;
  signals.receive();
  expect(said).toEqual(["again", "last"]);
});
