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

test("[HI-1] a history carries the data as it was stored, like the messages it stands for", async () => {
  const house = buildCore();
  const bob = await house.open();
  await house.control.publish({ channel: "a", data: '{"a":1.0,"b":12345678901234567890}', name: "n" });
  await bob.say({ type: "history", channel: "a", id: 1 });
  const { epoch } = await house.control.channel("a");
  expect(bob.connection.writes.flat().at(-1)).toBe(
    `{"type":"history","id":1,"channel":"a","epoch":"${epoch}","offset":1,"publications":[` +
      `{"offset":1,"data":{"a":1.0,"b":12345678901234567890},"name":"n","time":${house.clock.now()}}],"more":false}`,
  );
  await bob.say({ type: "history", channel: "b" });
  expect(bob.connection.frames().at(-1)).toEqual({
    type: "history",
    channel: "b",
    epoch: (await house.control.channel("b")).epoch,
    offset: 0,
    publications: [],
    more: false,
  });
});
