/** The SDK behind something that does not let WebSockets through: what it does, how soon, and what the application notices. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { Client, type ClientOptions, type ConnectionState } from "@longwire/client";
import { EventSource } from "eventsource";
import { startServer, type TestServer } from "longwire/test/server";
import { BlockingProxy } from "./support/blocking-proxy.ts";
import { until } from "./support/wait.ts";

let server: TestServer;
let proxy: BlockingProxy;
const clients: Client[] = [];

beforeAll(async () => {
  server = await startServer({ demo: "true", engine: "sqlite" });
});
afterAll(() => server.stop());
beforeEach(() => {
  proxy = new BlockingProxy(() => server.url);
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  await proxy.stop();
});

/** A client whose time runs a hundred times as fast, so that its patience of seconds is not the test's. */
function open(options: ClientOptions = {}): { client: Client; states: ConnectionState[] } {
  const clock = {
    now: () => Date.now(),
    after(ms: number, run: () => void) {
      const timer = setTimeout(run, ms / 100);
      return { cancel: () => clearTimeout(timer) };
    },
  };
  const client = new Client(proxy.url, { EventSource, clock, requestTimeoutMs: 300_000, ...options });
  clients.push(client);
  const states: ConnectionState[] = [];
  client.on("state", (state) => states.push(state));
  client.connect();
  return { client, states };
}

function transportOf(client: Client): string | undefined {
  return client.state.status === "connected" ? client.state.transport : undefined;
}

for (const way of [403, 200, "silence", "mute"] as const) {
  test(`a WebSocket that meets ${way}: the stream takes its place without a failed attempt`, async () => {
    proxy.way = way;
    const { client, states } = open();
    const room = client.channel("demo:fallback").subscribe();
    await room.ready();
    expect(transportOf(client)).toBe("stream");
    expect(states.map(({ status }) => status)).toEqual(["connecting", "connected"]);
    expect((await room.publish("hello"))?.offset).toBeGreaterThan(0);
  });
}

test("where the stream and the events are blocked too, it polls", async () => {
  for (const [blocked, transport] of [
    [["/stream"], "sse"],
    [["/stream", "/sse"], "poll"],
  ] as const) {
    proxy.blocked = blocked;
    const { client } = open();
    await client.ready();
    expect(transportOf(client)).toBe(transport);
  }
});

test("[P3] when WebSockets get through again it moves up by itself; each publication comes once, in order", async () => {
  proxy.blocked = ["/stream", "/sse"];
  const { client, states } = open();
  const found: number[] = [];
  const room = client.channel<number>("demo:climb").subscribe("earliest");
  room.on("message", ({ data }) => found.push(data));
  await room.ready();
  let count = 0;
  const publish = async (): Promise<void> => void (await server.publish("demo:climb", count++));
  for (const [way, blocked, transport] of [
    [403, ["/stream"], "sse"],
    [403, [], "stream"],
    ["through", [], "websocket"],
  ] as const) {
    proxy.way = way;
    proxy.blocked = blocked;
    await until(transport, async () => {
      await publish();
      return transportOf(client) === transport;
    });
  }
  await until("everything", () => found.length === count);
  expect(found).toEqual(Array.from({ length: count }, (_, index) => index));
  expect(states.map(({ status }) => status)).not.toContain("waiting");
}, 60_000);

test("a gateway that is down is no blockade: the client is back on WebSocket when it is", async () => {
  proxy.way = "through";
  const { client } = open();
  await client.ready();
  const tried = transportOf(client);
  await server.restart();
  await until("the way back", () => client.state.status === "connected");
  await until("WebSocket", () => transportOf(client) === tried);
  expect(tried).toBe("websocket");
}, 60_000);

test("disconnect() at any moment leaves no session and no request", async () => {
  proxy.way = "silence";
  for (let ms = 0; ms < 60; ms += 4) {
    const { client } = open();
    client.channel("demo:left").subscribe();
    await Bun.sleep(ms);
    client.disconnect();
  }
  await until("no session", async () => {
    const { body } = await server.api("GET", "/api/sessions");
    return (body as { sessions: unknown[] }).sessions.length === 0;
  });
}, 60_000);
