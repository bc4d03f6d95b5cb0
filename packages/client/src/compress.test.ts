import { expect, test } from "bun:test";
import { deflateRawSync } from "node:zlib";
import { settle } from "../test/support/fake-clock.ts";
import { FakeServer, message } from "../test/support/fake-server.ts";
import { Rig } from "../test/support/rig.ts";
import { inflating } from "./compress.ts";

function deflated(frame: unknown): ArrayBuffer {
  return Uint8Array.from(deflateRawSync(JSON.stringify(frame))).buffer;
}

async function subscribed(): Promise<{ rig: Rig; found: unknown[] }> {
  const server = new FakeServer();
  const rig = await new Rig({ WebSocket: inflating(server.WebSocket) }, server).connect();
  const found: unknown[] = [];
  rig.client
    .channel("a")
    .subscribe()
    .on("message", ({ data }) => found.push(data));
  await settle();
  return { rig, found };
}

/** Inflating takes as many turns as the platform likes. */
async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 10_000 && !condition(); turn++) await settle();
  expect(condition()).toBe(true);
}

test("[CM-4] what comes deflated is inflated, and everything is handed on in its order", async () => {
  const { rig, found } = await subscribed();
  expect(rig.server.last.url).toBe("ws://test/ws?compress=deflate");
  const send = (data: unknown): unknown => rig.server.last.socket.onmessage?.({ data } as never);
  send(deflated(message("a", 1, "x".repeat(100_000))));
  send(JSON.stringify(message("a", 2, "small")));
  send(deflated(message("a", 3, "large again")));
  send(JSON.stringify(message("a", 4, "end")));
  rig.server.last.close(4200, "bye");
  await until(() => rig.client.state.status === "waiting");
  expect(found.map((data) => String(data).slice(0, 11))).toEqual(["xxxxxxxxxxx", "small", "large again", "end"]);
});

test("what cannot be inflated ends the connection, so that nothing is missing in between", async () => {
  const { rig, found } = await subscribed();
  const { socket } = rig.server.last;
  socket.onmessage?.({ data: new Uint8Array([1, 2, 3, 4]).buffer } as never);
  socket.onmessage?.({ data: JSON.stringify({ type: "message", channel: "a", offset: 2, data: "later" }) } as never);
  await until(() => rig.server.last.closed);
  expect(found).toEqual([]);
});
