/** How connections end that do not end by themselves: those that do not read, and all of them when the server stops. */
import { describe, expect, test } from "bun:test";
import type { DisconnectFrame, MessageFrame, ServerFrame } from "@longwire/protocol";
import {
  OPCODES,
  openSocket,
  openWebSocket,
  type RawFrame,
  type RawSocket,
  webSocketFrame,
} from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const QUEUE_BYTES_MAX = 64 * 1024;

function portOf(server: TestServer): number {
  return Number(new URL(server.url).port);
}

/** A client that has subscribed and reads no further. */
async function openIdler(
  server: TestServer,
  channel: string,
  extra: Readonly<Record<string, unknown>> = {},
): Promise<RawSocket> {
  const socket = await openWebSocket(portOf(server), "/ws");
  socket.send(webSocketFrame("text", JSON.stringify({ type: "subscribe", channel, id: 1, ...extra })));
  await socket.readFrame();
  await socket.readFrame();
  socket.pause();
  return socket;
}

/** Everything that was queued for a client, and the close frame. */
async function readAll(socket: RawSocket): Promise<{ frames: ServerFrame[]; close: RawFrame | undefined }> {
  socket.resume();
  const frames: ServerFrame[] = [];
  for (;;) {
    const frame = await socket.readFrame();
    if (frame === undefined || frame.opcode === OPCODES.close) return { frames, close: frame };
    if (frame.opcode === OPCODES.text) frames.push(JSON.parse(frame.text) as ServerFrame);
  }
}

function offsetsOf(frames: readonly ServerFrame[]): (number | undefined)[] {
  return frames.filter((frame): frame is MessageFrame => frame.type === "message").map(({ offset }) => offset);
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

describe("a client that does not read", () => {
  // By the topic of the channel, and one by one (`echo: false` takes a session off the topic).
  for (const [way, extra] of [
    ["by topic", {}],
    ["directly", { echo: false }],
  ] as const) {
    test(`[BY-7] reached ${way} is ended as slow, behind what was queued and without a hole; others get everything`, async () => {
      const server = await startServer({
        "queue-bytes-max": String(QUEUE_BYTES_MAX),
        "publication-bytes-max": "32768",
      });
      const idler = await openIdler(server, "flood", extra);
      const readers = await Promise.all(Array.from({ length: 20 }, () => connectClient(server.url)));
      for (const reader of readers) await reader.request({ type: "subscribe", channel: "flood" });
      const data = "x".repeat(16_000);
      // The kernel's own buffers take several megabytes before anything waits in the server.
      const isThere = async (): Promise<boolean> => {
        const { body } = await server.api("GET", "/api/channels/flood");
        return (body as { subscribers: number }).subscribers === 21;
      };
      let published = 0;
      while (published < 4000 && (await isThere())) {
        for (let burst = 0; burst < 10; burst++) published = (await server.publish("flood", data)).offset;
      }
      expect(await isThere()).toBe(false);
      for (const reader of readers) {
        expect((await reader.received("flood", published)).map(({ offset }) => offset)).toEqual(upTo(published));
        expect(reader.isOpen).toBe(true);
        reader.terminate();
      }
      const { frames, close } = await readAll(idler);
      const offsets = offsetsOf(frames);
      expect(offsets.length).toBeGreaterThan(0);
      expect(offsets).toEqual(upTo(offsets.length));
      expect(frames.at(-1)).toMatchObject({ type: "disconnect", code: 4201, reconnect: true });
      expect(close?.code).toBe(4201);
      expect(close?.reason).toContain("did not read");
      idler.destroy();
      await server.stop();
    });
  }

  test("[BY-7] is ended as slow by its own replies too", async () => {
    const server = await startServer({ "queue-bytes-max": String(QUEUE_BYTES_MAX), "publication-bytes-max": "32768" });
    for (let count = 0; count < 20; count++) await server.publish("kept", "x".repeat(8000));
    const idler = await openIdler(server, "kept");
    const ask = webSocketFrame("text", JSON.stringify({ type: "history", channel: "kept" }));
    const sessions = async (): Promise<number> => {
      const { body } = await server.api("GET", "/api/stats");
      return (body as { sessions: number }).sessions;
    };
    for (let round = 0; round < 4000 && (await sessions()) > 0; round++) idler.send(ask, ask, ask, ask);
    expect(await sessions()).toBe(0);
    const { frames, close } = await readAll(idler);
    expect(frames.at(-1)).toMatchObject({ type: "disconnect", code: 4201 });
    expect(close?.code).toBe(4201);
    idler.destroy();
    await server.stop();
  });
});

describe("a server that stops", () => {
  test("[BY-1] [BY-3] [BY-8] tells every client, with a time to come back, and takes nobody new", async () => {
    const server = await startServer({ "drain-seconds": "5" });
    const port = portOf(server);
    const clients = await Promise.all(Array.from({ length: 50 }, () => connectClient(server.url)));
    const unspoken = await openWebSocket(port, "/ws");
    await clients[0]?.request({ type: "subscribe", channel: "last" });
    const accepted = server.publish("last", "word");
    await accepted;
    const stopped = server.stop();
    const ends = await Promise.all(clients.map((client) => client.closed));
    for (const [at, { code, reason }] of ends.entries()) {
      expect([code, reason]).toEqual([4200, "the server is going away"]);
      const goodbye = clients[at]?.frames.at(-1) as DisconnectFrame;
      expect(goodbye).toMatchObject({ type: "disconnect", code: 4200, reason, reconnect: true });
      expect(goodbye.after).toBeNumber();
    }
    expect(clients[0]?.messages("last").map(({ data }) => data)).toEqual(["word"]);
    // All at once they would come back all at once.
    expect(new Set(clients.map((client) => (client.frames.at(-1) as DisconnectFrame).after)).size).toBeGreaterThan(1);
    const { frames, close } = await readAll(unspoken);
    expect([frames.at(-1)?.type, close?.code]).toEqual(["disconnect", 4200]);
    unspoken.destroy();
    await stopped;
    expect(await openSocket(port).catch((error: { code?: string }) => error.code)).toBe("ECONNREFUSED");
  });

  test("[BY-8] does not wait longer than it was told for a client that does not read", async () => {
    const server = await startServer({ "drain-seconds": "0" });
    const idler = await openIdler(server, "deaf");
    await server.stop();
    idler.resume();
    await idler.ended;
    idler.destroy();
  });
});
