/** The script-tag build in real Chromium, behind a proxy that lets no WebSocket through. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Client, ClientOptions } from "@longwire/client";
import { startServer, type TestServer } from "longwire/test/server";
import type { Browser, Page } from "playwright-core";
import { BlockingProxy } from "./support/blocking-proxy.ts";
import { startChromium } from "./support/chromium.ts";
import { until } from "./support/wait.ts";

declare const Longwire: { connect(url?: string, options?: ClientOptions): Client };

interface PageGlobals {
  client: Client;
  found: unknown[];
  errors: string[];
}

let server: TestServer;
let browser: Browser;
let proxy: BlockingProxy;

beforeAll(async () => {
  server = await startServer({ demo: "true", engine: "sqlite" });
  browser = await startChromium();
  proxy = new BlockingProxy(() => server.url);
});

afterAll(async () => {
  await browser.close();
  await proxy.stop();
  await server.stop();
});

/** Loads the page (anew), and connects. */
async function load(page: Page, channel: string, options: ClientOptions = {}): Promise<void> {
  await page.goto(`${proxy.url}/page`);
  await page.evaluate(
    async ([name, given]) => {
      const globals = globalThis as unknown as PageGlobals;
      globals.found = [];
      globals.errors = [];
      globals.client = Longwire.connect(undefined, {
        ...given,
        onError: (error) => globals.errors.push(String(error)),
      });
      const room = globals.client.channel(name).subscribe();
      room.on("message", ({ data }) => globals.found.push(data));
      await room.ready();
    },
    [channel, options] as const,
  );
}

const read = (page: Page): Promise<{ state: Client["state"]; found: unknown[]; errors: string[] }> =>
  page.evaluate(() => {
    const { client, found, errors } = globalThis as unknown as PageGlobals;
    return { state: client.state, found, errors };
  });

test("each transport: the page gets what is published, and publishes", async () => {
  proxy.way = "through";
  for (const transport of ["websocket", "stream", "sse", "poll"] as const) {
    const page = await browser.newPage();
    const channel = `demo:chromium-${transport}`;
    await load(page, channel, { transports: [transport] });
    for (let count = 0; count < 20; count++) await server.publish(channel, count);
    await page.evaluate(
      async (name) => void (await (globalThis as unknown as PageGlobals).client.channel(name).publish("mine")),
      channel,
    );
    await until(transport, async () => (await read(page)).found.length === 21);
    const { state, found, errors } = await read(page);
    expect(state).toMatchObject({ status: "connected", transport });
    expect(found).toEqual([...Array.from({ length: 20 }, (_, count) => count), "mine"]);
    expect(errors).toEqual([]);
    await page.close();
  }
}, 60_000);

test("a blocked WebSocket is found out, remembered for the visit, and the room goes on over reloads", async () => {
  const page = await browser.newPage();
  for (const way of [403, "silence", "mute"] as const) {
    proxy.way = way;
    await load(page, "demo:chromium-blocked", { transportTimeoutMs: 500 });
    expect((await read(page)).state).toMatchObject({ status: "connected", transport: "stream" });
  }
  // The next page does not even try.
  proxy.way = "silence";
  await load(page, "demo:chromium-blocked", { transportTimeoutMs: 20_000, requestTimeoutMs: 30_000 });
  expect((await read(page)).state).toMatchObject({ transport: "stream" });
  // Another tab is another visit.
  const other = await browser.newPage();
  proxy.way = "through";
  await load(other, "demo:chromium-blocked");
  expect((await read(other)).state).toMatchObject({ transport: "websocket" });
  await other.close();
  await page.close();
}, 60_000);

test("the gateway restarts: every transport brings what was missed, once", async () => {
  proxy.way = "through";
  const pages: Page[] = [];
  const transports = ["websocket", "stream", "sse", "poll"] as const;
  for (const transport of transports) {
    const page = await browser.newPage();
    await load(page, "demo:chromium-restart", { transports: [transport], backoff: { minMs: 50, maxMs: 500 } });
    pages.push(page);
  }
  for (let round = 0; round < 3; round++) {
    await server.publish("demo:chromium-restart", `before ${round}`);
    await server.restart();
    await server.publish("demo:chromium-restart", `after ${round}`);
  }
  const all = [0, 1, 2].flatMap((round) => [`before ${round}`, `after ${round}`]);
  for (const page of pages) {
    await until("everything", async () => (await read(page)).found.length >= all.length);
    expect((await read(page)).found).toEqual(all);
    await page.close();
  }
}, 60_000);
