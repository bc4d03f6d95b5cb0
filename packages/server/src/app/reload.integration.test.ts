/** Parts that a reload replaces; retentions that it changes under subscribers: nobody misses what comes without being told, whatever was kept before. */
import { describe, expect, test } from "bun:test";
import { connectClient } from "../../test/support/ws-client.ts";
import { targetOf } from "../../test/contracts/transport.ts";
import { WEBSOCKET } from "../../test/support/peer/transports.ts";
import { startBackend } from "../../test/support/fake-backend.ts";
import { leftOut } from "../../test/support/one-process.ts";
import { startServer } from "../../test/support/server.ts";

describe("[TL-6] a history that is kept from now on, or no more", () => {
  for (const engine of ["memory", "sqlite"]) {
    for (const [from, to] of [
      ["0", "100"],
      ["100", "0"],
      ["100", "3"],
    ] as const) {
      for (const before of [0, 5]) {
        test(`${engine}, ${from} to ${to}, ${before} published before`, async () => {
          const server = await startServer({ engine, "channels-history-size": from });
          const target = targetOf(server);
          const bob = await WEBSOCKET.open(target, { subscribe: [{ channel: "a" }] });
          for (let count = 0; count < before; count++) await server.publish("a", `before ${count}`);
          await bob.until("what came before", () => bob.messages("a").length === before);
          const stood = bob.positions.get("a");
          await server.reload({ "channels-history-size": to });
          for (let count = 0; count < 10; count++) await server.publish("a", `after ${count}`);
          const last = (): unknown => bob.messages("a").at(-1)?.data;
          await bob.until("what came after", () => last() === "after 9");
          const told = bob.frames.findLast((frame) => frame.type === "subscribed");
          const missed = Array.from({ length: 10 }, (_, count) => `after ${count}`).filter(
            (data) => !bob.messages("a").some((message) => message.data === data),
          );
          // A history that is given up begins another numbering with its next publication, of which there is nothing to be had again.
          if (engine === "sqlite" && to === "0" && before > 0) {
            expect(missed).toEqual(["after 0"]);
            expect(told).toMatchObject({ recovered: false });
          } else expect(missed).toEqual([]);
          // Whoever comes back from before is brought up to the end, or told that it cannot be.
          const ann = await WEBSOCKET.open(target, { subscribe: [{ channel: "a", since: stood }] });
          const { recovered } = await ann.next("subscribed");
          if (recovered) await ann.until("what was missed", () => ann.messages("a").length === 10);
          else expect(ann.messages("a")).toEqual([]);
          await server.publish("a", "the end");
          await ann.until("the end", () => ann.messages("a").at(-1)?.data === "the end");
          await server.stop();
        });
      }
    }
  }
});

describe("[TL-6] what a reload replaces", () => {
  test("the backend that is asked; a question under way is answered by whom it was put to", async () => {
    const [first, second] = [await startBackend(), await startBackend()];
    const asked = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<void>();
    first.answer = async () => {
      asked.resolve();
      await answered.promise;
      return { allow: true, user: "ann" };
    };
    second.answer = () => ({ allow: true, user: "bob" });
    const server = await startServer({ "hook-url": first.url });
    const early = connectClient(server.url, {});
    await asked.promise;
    await server.reload({ "hook-url": second.url });
    const late = await connectClient(server.url, {});
    answered.resolve();
    const users = [await early, late].map(({ frames }) => frames.find((frame) => frame.type === "connected")?.user);
    expect(users).toEqual(["ann", "bob"]);
    await server.reload({ "hook-url": "" });
    await connectClient(server.url, {});
    expect([first.asked.length, second.asked.length]).toEqual([1, 1]);
    await server.stop();
    await first.stop();
    await second.stop();
  });

  test.skipIf(leftOut("limits"))("admission and proxies", async () => {
    const server = await startServer({});
    const answer = (): Promise<Response> => fetch(`${server.url}/poll?channel=a&wait=0`);
    expect((await answer()).status).toBe(200);
    const bob = await connectClient(server.url, {});
    await server.reload({ "connections-max": "1", "trusted-proxies": "loopback" });
    expect((await answer()).status).toBe(503);
    bob.terminate();
    await server.reload({ "connections-max": "1", "connections-per-address-max": "1", "trusted-proxies": "loopback" });
    await server.reload({ "connections-per-address-max": "1", "trusted-proxies": "loopback" });
    const headers = { "x-forwarded-for": "203.0.113.7" };
    await connectClient(server.url, { headers });
    expect(connectClient(server.url, { headers })).rejects.toThrow();
    await connectClient(server.url, { headers: { "x-forwarded-for": "203.0.113.8" } });
    await server.stop();
  });
});
