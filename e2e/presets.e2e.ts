/** The chat pages of tutorials, as they stand in e2e/pages, in a real browser; and `ws` on Node.js, which no tutorial's server knows apart. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import type { Browser, Page } from "playwright-core";
import { startChromium } from "./support/chromium.ts";
import { startNpmWs } from "./support/npm-ws.ts";
import { until } from "./support/wait.ts";

let server: ServerProcess;
let browser: Browser;
let pages: Bun.Server<undefined>;
let swoolePort: number;

beforeAll(async () => {
  swoolePort = freePort();
  server = await spawnServer({ presets: "ratchet,swoole", "swoole-port": String(swoolePort) });
  // The pages name the ports that servers usually have; the browser is told which ones these are here.
  const rules = `MAP localhost:8080 127.0.0.1:${new URL(server.url).port}, MAP 127.0.0.1:9501 127.0.0.1:${swoolePort}`;
  browser = await startChromium([`--host-resolver-rules=${rules}`]);
  // Some web server of this machine, as Apache would be.
  pages = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const file = Bun.file(join(import.meta.dir, "pages", new URL(request.url).pathname));
      return (await file.exists()) ? new Response(file) : new Response(null, { status: 404 });
    },
  });
});

afterAll(async () => {
  await browser.close();
  await pages.stop(true);
  await server.remove();
});

async function open(name: string, ready: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${pages.port}/${name}`);
  await page.getByText(ready).waitFor();
  return page;
}

async function say(page: Page, text: string): Promise<void> {
  await page.locator("#message").fill(text);
  await page.locator("#send").click();
}

/** Waits until the page has so many lines. */
async function linesOf(page: Page, count: number): Promise<string[]> {
  const lines = (): Promise<string[]> => page.locator("#messages li").allTextContents();
  await until(`${count} lines`, async () => (await lines()).length >= count);
  return lines();
}

/** A page is open before it is subscribed. */
async function subscribed(channel: string, count: number): Promise<void> {
  await until(`${count} subscribers`, async () => {
    const { body } = await server.api("GET", `/api/channels/${channel}`);
    return (body as { subscribers: number }).subscribers === count;
  });
}

async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env["SCREENSHOTS"];
  if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`) });
}

test("[RW-7] two pages with Ratchet's chat, and a `ws` client: nobody gets its own", async () => {
  const [ann, bob] = [await open("ratchet.html", "You have joined"), await open("ratchet.html", "You have joined")];
  const other = await startNpmWs(server.url);
  await subscribed("ratchet:chat", 3);
  await say(ann, "hello from ann <b>");
  await linesOf(bob, 2);
  await say(bob, "hello from bob");
  await linesOf(ann, 3);
  other.say({ text: "你好" });
  await linesOf(ann, 4);
  await server.publish("ratchet:chat", "from the backend");
  expect(await linesOf(ann, 5)).toEqual([
    "You have joined",
    "You: hello from ann <b>",
    "They: hello from bob",
    "They: 你好",
    "They: from the backend",
  ]);
  expect(await linesOf(bob, 5)).toEqual([
    "You have joined",
    "They: hello from ann <b>",
    "You: hello from bob",
    "They: 你好",
    "They: from the backend",
  ]);
  expect(await other.heard(3)).toEqual([
    { text: "hello from ann <b>" },
    { text: "hello from bob" },
    { text: "from the backend" },
  ]);
  await shot(ann, "ratchet");
  await other.close();
});

test("[RW-7] two pages with Swoole's chat, and a `ws` client: all get all", async () => {
  const ready = "Connected to WebSocket server.";
  const [ann, bob] = [await open("swoole.html", ready), await open("swoole.html", ready)];
  const other = await startNpmWs(`http://127.0.0.1:${swoolePort}`);
  await subscribed("swoole:chat", 3);
  await say(ann, "one");
  await linesOf(ann, 1);
  await say(bob, "two");
  await linesOf(bob, 2);
  other.say({ text: "three" });
  for (const page of [ann, bob]) expect(await linesOf(page, 3)).toEqual(["one", "two", "three"]);
  expect(await other.heard(3)).toEqual([{ text: "one" }, { text: "two" }, { text: "three" }]);
  await shot(bob, "swoole");
  await other.close();
  server.kill("SIGTERM");
  await ann.getByText("Disconnected").waitFor();
  await server.exited;
  await server.start();
});

test("[BI-3] [RW-3] `ws` on Node.js: text and bytes of every length between two of them", async () => {
  const [ann, bob] = [
    await startNpmWs(`${server.url}/raw/swoole:node`),
    await startNpmWs(`${server.url}/raw/swoole:node`),
  ];
  await subscribed("swoole:node", 2);
  const sent = Array.from({ length: 301 }, (_, length) => {
    const bytes = Buffer.from(Array.from({ length }, (__, at) => (at * 7 + length) % 256));
    return length % 3 === 0 ? { text: `${length} 字` } : { base64: bytes.toString("base64") };
  });
  for (const message of sent) ann.say(message);
  for (const client of [ann, bob]) expect(await client.heard(sent.length)).toEqual(sent);
  expect((await ann.close()).code).toBe(1005);
  await bob.close();
});

test("[CM-5] `ws` on Node.js negotiates permessage-deflate where it is on, in both directions", async () => {
  const extended = await spawnServer({ "per-message-deflate": "true", "channels-publish": "everybody" });
  const publication = { type: "publish", id: 1, channel: "a", data: "to be compressed ".repeat(1000) };
  const bytes: number[] = [];
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    const client = await startNpmWs(`${extended.url}/ws`, { perMessageDeflate });
    expect(client.extensions).toBe(perMessageDeflate === false ? "" : "permessage-deflate");
    client.say({ text: JSON.stringify(publication) });
    await client.heard(2);
    client.say({ text: '{"type":"history","channel":"a","limit":1,"id":2}' });
    const frames = (await client.heard(3)).map(
      ({ text = "" }) => JSON.parse(text) as { type: string; publications?: unknown },
    );
    expect(frames.find(({ type }) => type === "history")?.publications).toMatchObject([{ data: publication.data }]);
    bytes.push((await client.close()).bytes);
  }
  expect(bytes[1] ?? Infinity).toBeLessThan((bytes[0] ?? 0) / 10);
  await extended.remove();
});
