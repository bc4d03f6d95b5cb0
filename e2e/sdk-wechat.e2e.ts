/**
 * The SDK as a mini program runs it: its bundle in a world that has JavaScript, timers and `wx`, and nothing of a browser: no `URL`,
 * `TextDecoder`, `fetch`, `WebSocket`, `queueMicrotask` or `btoa`.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import { createContext, runInContext } from "node:vm";
import type * as Sdk from "@longwire/client/wechat";
import { FakeWx } from "@longwire/client/test/wx";
import { startServer, type TestServer } from "longwire/test/server";
import { ROOT } from "./support/code-blocks.ts";
import { until } from "./support/wait.ts";

let server: TestServer;
let wx: FakeWx;
let sdk: typeof Sdk;

beforeAll(async () => {
  server = await startServer({ demo: "true", engine: "sqlite" });
});
afterAll(() => server.stop());

beforeEach(async () => {
  wx = new FakeWx();
  const { outputs } = await Bun.build({
    entrypoints: [join(ROOT, "packages/client/src/wechat.ts")],
    target: "browser",
    format: "cjs",
  });
  const module = { exports: {} };
  const world = createContext({ wx, module, exports: module.exports, setTimeout, clearTimeout });
  runInContext((await outputs[0]?.text()) ?? "", world);
  sdk = module.exports as typeof Sdk;
});

/** A client in the mini program, and what it found in a channel. */
async function open(
  channel: string,
  options: Sdk.ClientOptions = {},
): Promise<{ client: Sdk.Client; found: unknown[] }> {
  const client = sdk.connect(server.url.replace("http", "ws"), { ...sdk.weChat(wx), ...options });
  const found: unknown[] = [];
  client
    .channel(channel)
    .subscribe("earliest")
    .on("message", ({ data }) => found.push(data));
  await client.channel(channel).ready();
  return { client, found };
}

test("over a socket: publish, receive, come back after a restart, leave nothing behind", async () => {
  const { client, found } = await open("demo:wx-1", { backoff: { minMs: 50, maxMs: 200 } });
  expect(client.state).toMatchObject({ status: "connected", transport: "websocket" });
  await client.channel("demo:wx-1").publish("from the program");
  await server.publish("demo:wx-1", "from the backend");
  await until("both", () => found.length === 2);
  await server.restart();
  await server.publish("demo:wx-1", "after a restart");
  await until("the third", () => found.length === 3);
  expect(found).toEqual(["from the program", "from the backend", "after a restart"]);
  client.disconnect();
  await until("the socket's end", () => wx.sockets === 0);
  expect(wx.listeners).toBe(0);
}, 30_000);

test("over requests where sockets are blocked, and the same of it", async () => {
  wx.blocked = true;
  const { client, found } = await open("demo:wx-2");
  expect(client.state).toMatchObject({ status: "connected", transport: "poll" });
  await client.channel("demo:wx-2").publish("from the program");
  await server.publish("demo:wx-2", "from the backend");
  await until("both", () => found.length === 2);
  expect(found).toEqual(["from the program", "from the backend"]);
  client.disconnect();
  await until("no request", () => wx.requests === 0);
  expect([wx.sockets, wx.listeners]).toEqual([0, 0]);
});

test("a socket that is closed before it opens does not stay open", async () => {
  const client = sdk.connect(server.url.replace("http", "ws"), sdk.weChat(wx));
  expect(wx.sockets).toBe(1);
  client.disconnect();
  await until("the socket's end", () => wx.sockets === 0);
});

test("what came while the program was away is handed over by the next one, from its storage", async () => {
  const first = await open("demo:wx-3", { persist: "local" });
  await server.publish("demo:wx-3", 1);
  await until("the first", () => first.found.length === 1);
  wx.hide();
  expect([...wx.stored.keys()].some((key) => key.endsWith("session"))).toBe(true);
  first.client.disconnect();
  await server.publish("demo:wx-3", 2);
  const client = sdk.connect(server.url.replace("http", "ws"), { ...sdk.weChat(wx), persist: "local" });
  const found: unknown[] = [];
  client
    .channel("demo:wx-3")
    .subscribe()
    .on("message", ({ data }) => found.push(data));
  await until("the second", () => found.length === 1);
  expect(found).toEqual([2]);
  expect(client.state).toMatchObject({ resumed: true });
  client.disconnect();
});

test("without a network it waits, and comes back with it", async () => {
  const { client } = await open("demo:wx-4");
  wx.network(false);
  wx.blocked = true;
  await server.restart();
  await until("the loss", () => client.state.status === "waiting");
  wx.blocked = false;
  wx.network(true);
  wx.show();
  await until("the return", () => client.state.status === "connected");
  client.disconnect();
}, 30_000);
