/** What a whole server does with clients that are too many, or that come while it is busy. */
import { describe, expect, test } from "bun:test";
import { leftOut } from "../../test/support/one-process.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { openSocket, openWebSocket, upgradeRequest, webSocketFrame } from "../../test/support/raw-socket.ts";
import { connectClient } from "../../test/support/ws-client.ts";

async function withServer(
  flags: Readonly<Record<string, string>>,
  run: (server: TestServer) => Promise<void>,
): Promise<void> {
  const server = await startServer(flags);
  try {
    await run(server);
  } finally {
    await server.stop();
  }
}

const portOf = (server: TestServer): number => Number(new URL(server.url).port);

/** The answer to a handshake. */
async function handshake(server: TestServer, headers: Readonly<Record<string, string>> = {}) {
  const socket = await openSocket(portOf(server));
  socket.send(upgradeRequest(portOf(server), "/ws", headers));
  const answer = await socket.readResponse();
  return { ...answer, socket };
}

function refusalOf(limit: string) {
  return { error: { code: 4205, message: expect.stringContaining(limit), after: expect.any(Number) } };
}

describe.skipIf(leftOut("limits"))("[LM-1] more clients than connectionsMax", () => {
  test("are told so on every transport, and each place is one client's", () =>
    withServer({ "connections-max": "3", presets: "ratchet" }, async (server) => {
      const { url } = server;
      const first = await handshake(server);
      const stream = await fetch(`${url}/stream?channel=a`);
      const poll = new AbortController();
      const waiting = fetch(`${url}/poll?channel=a&quiet=true`, { signal: poll.signal }).catch(() => undefined);
      await Bun.sleep(50);

      const limit = "at most 3 connections (connectionsMax)";
      for (const path of ["/ws", "/raw/a", "/"]) {
        const socket = await openSocket(portOf(server));
        socket.send(upgradeRequest(portOf(server), path));
        const { status, headers, body } = await socket.readResponse();
        expect([path, status]).toEqual([path, 503]);
        expect(headers.get("retry-after")).toBe("10");
        expect(JSON.parse(body)).toEqual(refusalOf(limit));
        // Its descriptor is free at once.
        await socket.readEnd();
      }
      for (const path of ["/stream?channel=a", "/poll?channel=a"]) {
        const answer = await fetch(`${url}${path}`);
        expect([path, answer.status, answer.headers.get("retry-after")]).toEqual([path, 503, "10"]);
        expect(await answer.json()).toEqual(refusalOf(limit));
      }
      // An EventSource that is answered 503 never comes back.
      const events = await fetch(`${url}/sse?channel=a`);
      expect(events.status).toBe(200);
      expect(await events.text()).toMatch(/^retry: ?10000\n[\s\S]*"code":4205/);
      const [tcpPort = 0] = server.tcpPorts;
      const tcp = await openSocket(tcpPort);
      expect(JSON.parse(await tcp.readEnd())).toMatchObject({ type: "disconnect", code: 4205, after: 10_000 });

      // Those connected go on, by POST as well, and so do backends.
      expect((await fetch(`${url}/send`, { method: "POST", body: '{"type":"ping","id":1}' })).status).toBe(200);
      await server.publish("a", 1);
      await waiting;
      await stream.body?.cancel();
      first.socket.destroy();
      for (let round = 0; round < 100; round++) {
        const { status, socket } = await handshake(server);
        socket.destroy();
        if (status === 101) return;
        await Bun.sleep(20);
      }
      throw new Error("no place became free");
    }));
});

describe.skipIf(leftOut("limits"))("[LM-4] more handshakes than handshakesPerSecond", () => {
  test("wait for their turn, then are turned away; whoever goes on polling is not concerned", () =>
    withServer({ "handshakes-per-second": "5" }, async (server) => {
      const at = performance.now();
      const answers = await Promise.all(
        Array.from({ length: 15 }, async () => {
          const { status, socket } = await handshake(server);
          return { status, ms: performance.now() - at, socket };
        }),
      );
      const taken = answers.filter(({ status }) => status === 101);
      expect(taken.length).toBeGreaterThanOrEqual(10);
      expect(answers.length - taken.length).toBeGreaterThanOrEqual(1);
      expect(answers.every(({ status }) => status === 101 || status === 503)).toBe(true);
      // Half of them came in at once, and the others after one another.
      expect(taken.filter(({ ms }) => ms >= 190).length).toBeGreaterThanOrEqual(4);
      for (const { socket } of answers) socket.destroy();

      await server.publish("a", 1);
      await Bun.sleep(1200);
      let cursor = ((await (await fetch(`${server.url}/poll?channel=a&wait=0`)).json()) as { cursor: string }).cursor;
      for (let round = 0; round < 20; round++) {
        const answer = await fetch(`${server.url}/poll?channel=a&wait=0&since=${encodeURIComponent(cursor)}`);
        expect(answer.status).toBe(200);
        cursor = ((await answer.json()) as { cursor: string }).cursor;
      }
    }));
});

describe.skipIf(leftOut("loop"))("[LM-5] a loop that is late", () => {
  test("turns newcomers away until it is itself again, and those connected go on", () =>
    withServer({ "loop-lag-ms-max": "50" }, async (server) => {
      const bob = await connectClient(server.url);
      await bob.request({ type: "subscribe", channel: "a" });
      expect((await handshake(server)).status).toBe(101);
      // The server and this test share a process: what blocks one blocks both.
      for (let round = 0; round < 6; round++) {
        Bun.sleepSync(300);
        await Bun.sleep(1);
      }
      const refused = await handshake(server);
      expect(refused.status).toBe(503);
      expect(refused.headers.get("retry-after")).toBe("5");
      expect(JSON.parse(refused.body)).toEqual(refusalOf("late by more than 50 ms (loopLagMsMax)"));
      await server.publish("a", 1);
      expect(await bob.request({ type: "ping" } as never)).toMatchObject({ type: "pong" });
      for (let round = 0; round < 100; round++) {
        const { status, socket } = await handshake(server);
        socket.destroy();
        if (status === 101) return;
        await Bun.sleep(50);
      }
      throw new Error("it stayed closed");
    }));
});

describe.skipIf(leftOut("limits"))("[LM-6] memory beyond its mark", () => {
  test("turns newcomers away, backends go on", () =>
    withServer({ "memory-bytes-max": String(1024 ** 2) }, async (server) => {
      const refused = await handshake(server);
      expect(refused.status).toBe(503);
      expect(JSON.parse(refused.body)).toEqual(
        refusalOf("more than 1048576 bytes of memory are in use (memoryBytesMax)"),
      );
      await server.publish("a", 1);
    }));
});

describe("rates by transports without envelopes", () => {
  test("[LM-15] a bare message that is one too many ends its connection with 4204 and the limit", () =>
    withServer(
      { "channels-publish": "everybody", "publishes-per-second": "2", "burst-seconds": "1" },
      async (server) => {
        const socket = await openWebSocket(portOf(server), "/raw/a");
        for (let count = 0; count < 3; count++) socket.send(webSocketFrame("text", `m${count}`));
        for (let frame = await socket.readFrame(); ; frame = await socket.readFrame()) {
          if (frame === undefined) throw new Error("it was not ended");
          if (frame.code === undefined) continue;
          expect(frame.code).toBe(4204);
          expect(frame.reason).toContain("publishesPerSecond is 2");
          return;
        }
      },
    ));
});
