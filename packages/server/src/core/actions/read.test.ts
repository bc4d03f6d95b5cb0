import { expect, test } from "bun:test";
import { buildCore } from "../../../test/support/core.ts";

test("[P4] [HI-1] a page of the history fits the client's budget, however little its publications hold", async () => {
  const house = buildCore({ settings: { queueBytesMax: 2048 } });
  const bob = await house.open();
  for (let n = 0; n < 100; n++) await house.control.publish({ channel: "a", data: "1", name: "\u0001".repeat(10) });
  bob.connection.stalled = true;
  await bob.say({ type: "history", channel: "a", limit: 100, id: 1 });
  expect(bob.connection.frames().at(-1)).toMatchObject({ type: "history", id: 1, more: true });
  expect(bob.connection.buffered()).toBeLessThan(1024);
  expect(bob.connection.goodbye).toBeUndefined();
});
