import { expect, test } from "bun:test";
import { brokerWith, buildCore, settle } from "../../test/support/core.ts";

test("[FR-6] a subscribe that a backend ends before it began is answered too, and the next one holds", async () => {
  const house = buildCore({
    wrap: {
      sink: (hub) => hub,
      broker: (inner) =>
        brokerWith(inner, {
          async subscribe(channel) {
            // As an engine on the other side of a network.
            for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
            return inner.subscribe(channel);
          },
        }),
    },
  });
  const bob = await house.open();
  const greeting = bob.connection.frames().find((frame) => frame.type === "connected");
  house.gateway.receive(bob.handle, JSON.stringify({ type: "subscribe", id: 10, channel: "a" }));
  await house.control.unsubscribeSession(greeting?.session ?? "", "a");
  house.gateway.receive(bob.handle, JSON.stringify({ type: "subscribe", id: 11, channel: "a" }));
  for (let round = 0; round < 10; round++) await settle();
  const replies = bob.connection.frames().filter((frame) => "id" in frame && (frame.id ?? 0) >= 10);
  expect(replies).toMatchObject([
    { type: "error", id: 10, code: 108 },
    { type: "subscribed", id: 11 },
  ]);
  await house.publish("a", 1);
  expect(bob.connection.offsets("a")).toEqual([1]);
});
