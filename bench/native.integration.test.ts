/** The instruments count right: against servers that send a known number of frames. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Children } from "./children.ts";
import { compileNative, compilerPath, type NativeTools, post, Subscribers } from "./native.ts";

const CONNECTIONS = 50;
const children = new Children();

/** Subscribes every connection to a topic after two greeting frames, and publishes what is posted. */
function startServer(sizes: { received: string[] }) {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request, server) {
      if (server.upgrade(request)) return undefined;
      server.publish("bench", await request.text());
      return new Response("{}");
    },
    websocket: {
      open(socket) {
        socket.send('{"type":"connected"}');
        socket.send('{"type":"subscribed"}');
        socket.subscribe("bench");
      },
      message(_socket, text) {
        sizes.received.push(String(text));
      },
    },
  });
  return server;
}

describe.skipIf(process.platform !== "linux" || compilerPath() === undefined)("native instruments", () => {
  const folder = mkdtempSync(join(tmpdir(), "longwire-bench-test-"));
  let tools: NativeTools;

  beforeAll(async () => {
    tools = await compileNative(folder);
  });

  afterAll(async () => {
    await children.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });

  test("wsload counts exactly the frames and bytes that were sent, greetings apart", async () => {
    const sizes = { received: [] as string[] };
    const server = startServer(sizes);
    const port = server.port ?? 0;
    const subscription = { path: "/", first: '{"number":%d}', ready: '"type":"subscribed"' };
    const subscribers = await Subscribers.connect(children, tools, port, CONNECTIONS, subscription);
    // One length of each form that RFC 6455 section 5.2 knows, the last one cut by every read.
    const payloads = [`{"t":1}`, `{"t":2,"p":"${"x".repeat(1000)}"}`, `{"p":"${"x".repeat(200_000)}"}`];
    for (const payload of payloads) server.publish("bench", payload);
    const bytes = CONNECTIONS * payloads.reduce((sum, payload) => sum + payload.length, 0);
    let report = await subscribers.report();
    while (report.bytes < bytes) report = await subscribers.report();
    await subscribers.stop();
    await server.stop(true);
    expect(report.frames).toBe(CONNECTIONS * payloads.length);
    expect(report.messages).toBe(CONNECTIONS * 2);
    expect(report.bytes).toBe(bytes);
    expect(report.closed).toBe(0);
    expect(new Set(sizes.received).size).toBe(CONNECTIONS);
  });

  test("httpload sends what it says, and each request reaches every subscriber once", async () => {
    const server = startServer({ received: [] });
    const port = server.port ?? 0;
    const subscription = { path: "/", ready: '"type":"subscribed"' };
    const subscribers = await Subscribers.connect(children, tools, port, CONNECTIONS, subscription);
    const body = '{"t":%t,"number":%d}';
    const posting = { port, path: "/", body, connections: 8, rate: 200, seconds: 0.5, modulo: 10 };
    const posted = await post(children, tools, posting);
    let report = await subscribers.report();
    while (report.messages < posted.ok * CONNECTIONS) report = await subscribers.report();
    await subscribers.stop();
    await server.stop(true);
    expect(posted.failed).toBe(0);
    expect(posted.ok).toBe(posted.sent);
    expect(posted.sent).toBeGreaterThan(0);
    expect(posted.sent).toBeLessThanOrEqual(100);
    expect(report.messages).toBe(posted.ok * CONNECTIONS);
    expect(report.p99Us).toBeGreaterThan(0);
  });

  test("httpload counts refused requests as failed and keeps the reason", async () => {
    let requests = 0;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => (++requests % 2 === 0 ? new Response("full", { status: 503 }) : new Response("{}")),
    });
    const port = server.port ?? 0;
    const posted = await post(children, tools, {
      port,
      path: "/",
      body: "{}",
      connections: 1,
      rate: 100,
      seconds: 0.2,
    });
    await server.stop(true);
    expect(posted.sent).toBe(requests);
    expect(posted.failed).toBe(Math.floor(requests / 2));
    expect(posted.failure).toBe("503 full");
  });

  for (const reading of ["websocket", "sse"] as const) {
    test(`the write loop writes each publication to every subscriber once (${reading})`, async () => {
      const loop = children.start("write loop", [tools.writeloop]);
      const port = Number(await loop.line("PORT", 5000));
      const subscribers = await Subscribers.connect(children, tools, port, CONNECTIONS, { path: "/", reading });
      const body = `{"t":%t,"p":"${"x".repeat(300)}"}`;
      const posted = await post(children, tools, { port, path: "/", body, connections: 4, rate: 100, seconds: 0.3 });
      let report = await subscribers.report();
      while (report.messages < posted.ok * CONNECTIONS) report = await subscribers.report();
      await subscribers.stop();
      await children.stop(loop);
      expect(report.frames).toBe(posted.ok * CONNECTIONS);
      expect(report.closed).toBe(0);
      expect(posted.failed).toBe(0);
    });
  }

  test("a refused handshake is an error that shows the answer", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("not here", { status: 404 }),
    });
    const connecting = Subscribers.connect(children, tools, server.port ?? 0, 1, { path: "/" });
    expect(await connecting.then(() => "connected", String)).toContain("404");
    await server.stop(true);
  });
});
