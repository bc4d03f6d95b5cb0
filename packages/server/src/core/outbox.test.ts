import { expect, test } from "bun:test";
import { buildCore, OPEN, settle } from "../../test/support/core.ts";

test("[P4] those who were sent away and do not read count with all queues together, and are cut for it", async () => {
  const house = buildCore({ settings: { queueBytesMax: 200_000, queueBytesTotalMax: 500_000 } });
  const connections: { readonly isCut: boolean }[] = [];
  for (let round = 0; round < 10; round++) {
    const slow = await house.open();
    await slow.say({ type: "subscribe", channel: "a" });
    slow.connection.stalled = true;
    for (let n = 0; n < 5; n++) await house.publish("a", "x".repeat(50_000));
    expect(slow.connection.goodbye?.disconnect).toBe("slow");
    connections.push(slow.connection);
  }
  // Each keeps 200 to 250 KB until it is gone: no more than two of them fit.
  expect(connections.filter(({ isCut }) => isCut).length).toBeGreaterThanOrEqual(7);
});

test("[P6] what one turn hands to a topic is measured by its frames: short data in long frames fills it too", async () => {
  const house = buildCore();
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a" });
  const name = "n".repeat(200);
  const answers = Array.from({ length: 3000 }, () => house.control.publish({ channel: "a", data: "1", name }));
  await Promise.resolve();
  const bytes = bob.connection.writes.flat().reduce((sum, text) => sum + text.length, 0);
  expect(bytes).toBeLessThan(300 * 1024);
  await Promise.all(answers);
  await settle();
  expect(bob.connection.offsets("a")).toHaveLength(3000);
  expect(bob.connection.goodbye).toBeUndefined();
});

test("[P4] reading much of a history, again and again, leaves turns to others", async () => {
  const house = buildCore({ settings: { channels: { ...OPEN, historySize: 100 } } });
  for (let n = 0; n < 100; n++) await house.publish("a", n);
  const bob = await house.open();
  await bob.say({ type: "subscribe", channel: "a" });
  const before = bob.connection.writes.length;
  for (let n = 0; n < 10; n++) house.gateway.receive(bob.handle, JSON.stringify({ type: "history", channel: "a" }));
  for (let n = 0; n < 10; n++) house.gateway.receive(bob.handle, JSON.stringify({ type: "presence", channel: "a" }));
  for (let n = 0; n < 5; n++) {
    house.gateway.receive(bob.handle, JSON.stringify({ type: "unsubscribe", channel: "a" }));
    house.gateway.receive(bob.handle, JSON.stringify({ type: "subscribe", channel: "a", since: "earliest" }));
  }
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(bob.connection.frames().filter(({ type }) => type === "history").length).toBeLessThanOrEqual(2);
  for (let round = 0; round < 3; round++) await settle();
  // A write for each: none shared a turn with the next.
  expect(bob.connection.writes.length - before).toBeGreaterThanOrEqual(24);
  expect(bob.connection.frames().filter(({ type }) => type === "history")).toHaveLength(10);
  expect(bob.connection.frames().filter(({ type }) => type === "presence")).toHaveLength(10);
  expect(bob.connection.offsets("a")).toHaveLength(500);
});

test("[P4] empty messages behind a command weigh something too", async () => {
  const house = buildCore();
  const bob = await house.open();
  house.gateway.receive(bob.handle, JSON.stringify({ type: "subscribe", channel: "a" }));
  for (let n = 0; n < 20_000 && !bob.connection.paused; n++) house.gateway.receive(bob.handle, "");
  expect(bob.connection.paused).toBeTrue();
  await settle();
  expect(bob.connection.paused).toBeFalse();
});
