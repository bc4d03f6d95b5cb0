/** Retentions that a reload changes under subscribers: nobody misses what comes without being told, whatever was kept before. */
import { describe, expect, test } from "bun:test";
import { targetOf } from "../../test/contracts/transport.ts";
import { WEBSOCKET } from "../../test/support/peer/transports.ts";
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
          server.reload({ "channels-history-size": to });
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
