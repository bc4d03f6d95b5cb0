/** How connections of raw TCP end: those that do not read, those that are sent away, and all of them when the server stops. */
import { describe, expect, test } from "bun:test";
import { openSocket, type RawSocket } from "../../test/support/raw-socket.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { connectTcp, type TcpClient } from "../../test/support/tcp-client.ts";
import { withPrefix } from "../wire/length-prefix.ts";

const QUEUE_BYTES_MAX = 64 * 1024;
const DATA = "x".repeat(16_000);

function startNarrow(flags: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  return startServer({ "queue-bytes-max": String(QUEUE_BYTES_MAX), "publication-bytes-max": "32768", ...flags });
}

async function subscribers(server: TestServer, channel: string): Promise<number> {
  const { body } = await server.api("GET", `/api/channels/${channel}`);
  return (body as { subscribers?: number }).subscribers ?? 0;
}

function isOpen(port: number): Promise<boolean> {
  return openSocket(port).then(
    (socket) => {
      socket.destroy();
      return true;
    },
    () => false,
  );
}

/** Publishes until fewer are subscribed; returns how much was published. The kernel's buffers take megabytes before anything waits. */
async function flood(server: TestServer, channel: string, expected: number): Promise<number> {
  let published = 0;
  while (published < 4000 && (await subscribers(server, channel)) === expected) {
    for (let burst = 0; burst < 10; burst++) published = (await server.publish(channel, DATA)).offset;
  }
  expect(await subscribers(server, channel)).toBe(expected - 1);
  return published;
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
    test(`[TC-9] [BY-7] reached ${way} is ended as slow without a hole, others get everything, and it recovers what it missed`, async () => {
      const server = await startNarrow({ "channels-history-size": "4000" });
      const [port] = server.tcpPorts;
      const idler = await connectTcp(port);
      await idler.request({ type: "subscribe", channel: "flood", ...extra });
      idler.socket.pause();
      const readers: TcpClient[] = [];
      for (let count = 0; count < 10; count++) {
        const reader = await connectTcp(port);
        await reader.request({ type: "subscribe", channel: "flood" });
        readers.push(reader);
      }
      const published = await flood(server, "flood", 11);
      for (const reader of readers) {
        expect((await reader.received("flood", published)).map(({ offset }) => offset)).toEqual(upTo(published));
        expect(await reader.request({ type: "ping" })).toMatchObject({ type: "pong" });
      }
      idler.socket.resume();
      expect((await idler.readAll()).at(-1)).toMatchObject({ type: "disconnect", code: 4201, reconnect: true });
      const got = idler.messages("flood").map(({ offset }) => offset);
      expect(got.length).toBeGreaterThan(0);
      expect(got).toEqual(upTo(got.length));
      // It comes back with its position.
      const subscribed = idler.frames.find((frame) => frame.type === "subscribed");
      const since = { epoch: subscribed?.epoch, offset: got.length };
      const again = await connectTcp(port);
      expect(await again.request({ type: "subscribe", channel: "flood", since })).toMatchObject({ recovered: true });
      const missed = await again.received("flood", published - got.length);
      expect([...got, ...missed.map(({ offset }) => offset)]).toEqual(upTo(published));
      for (const { socket } of [...readers, again]) socket.destroy();
      await server.stop();
    });
  }

  test("[BY-7] is ended by its own replies too", async () => {
    const server = await startNarrow();
    const client = await connectTcp(server.tcpPorts[0]);
    for (let count = 0; count < 20; count++) await server.publish("kept", "x".repeat(8000));
    client.socket.pause();
    const ask = `${JSON.stringify({ type: "history", channel: "kept" })}\n`.repeat(4);
    const sessions = async (): Promise<number> =>
      ((await server.api("GET", "/api/stats")).body as { sessions: number }).sessions;
    for (let round = 0; round < 4000 && (await sessions()) > 0; round++) client.socket.send(ask);
    expect(await sessions()).toBe(0);
    client.socket.resume();
    expect((await client.readAll()).at(-1)).toMatchObject({ type: "disconnect", code: 4201 });
    await server.stop();
  });

  test("[BY-7] and reads not even the goodbye is cut after a while", async () => {
    const server = await startNarrow({ "ping-timeout-ms": "200" });
    const client = await connectTcp(server.tcpPorts[0]);
    await client.request({ type: "subscribe", channel: "flood" });
    client.socket.pause();
    await flood(server, "flood", 1);
    await Bun.sleep(1000);
    client.socket.resume();
    await client.socket.ended;
    // The goodbye went with what waited before it.
    expect(await client.socket.readEnd()).not.toContain('"disconnect"');
    await server.stop();
  });

  test.each(["text", "frame"] as const)("[TC-9] on %s ends behind whole messages", async (framing) => {
    const server = await startNarrow({ "tcp-listeners": JSON.stringify([{ port: 0, framing, channel: "flood" }]) });
    const socket = await openSocket(server.tcpPorts[1] ?? 0);
    while ((await subscribers(server, "flood")) < 1) await Bun.sleep(5);
    socket.pause();
    const published = await flood(server, "flood", 1);
    socket.resume();
    const bytes = await socket.readRest();
    const packet = framing === "text" ? Buffer.from(`${DATA}\n`) : Buffer.from(withPrefix(Buffer.from(DATA)));
    const count = bytes.length / packet.length;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThanOrEqual(published);
    expect(bytes.equals(Buffer.concat(Array.from({ length: count }, () => packet)))).toBe(true);
    await server.stop();
  });
});

describe("goodbyes", () => {
  test("[BY-9] [TC-9] the application ends a session", async () => {
    const server = await startServer();
    const bob = await connectTcp(server.tcpPorts[0], { token: await server.token({ sub: "bob" }) });
    await server.api("POST", "/api/users/bob/disconnect", {});
    expect((await bob.readAll()).at(-1)).toMatchObject({ type: "disconnect", code: 4102, reconnect: false });
    await server.stop();
  });

  test("[BY-8] [TC-9] a shutdown answers what was asked, tells everybody on every listener, and accepts nobody", async () => {
    const server = await startServer({
      "tcp-listeners": JSON.stringify([{ port: 0, framing: "text", channel: "a" }]),
    });
    const [json = 0, text = 0] = server.tcpPorts;
    const clients = await Promise.all(Array.from({ length: 20 }, () => connectTcp(json)));
    for (const client of clients) await client.request({ type: "subscribe", channel: "a" });
    const bare: RawSocket = await openSocket(text);
    while ((await subscribers(server, "a")) < 21) await Bun.sleep(5);
    await server.publish("a", "last words");
    const stopped = server.stop();
    for (const client of clients) {
      const frames = await client.readAll();
      expect(frames.slice(-2)).toMatchObject([
        { type: "message" },
        { type: "disconnect", code: 4200, reconnect: true },
      ]);
    }
    expect(await bare.readEnd()).toBe("last words\n");
    await stopped;
    for (const port of [json, text]) expect(await isOpen(port)).toBe(false);
  });
});
