/** What a newcomer does: open /demo in two windows, chat, paste the printed curl line, kill the server and start it again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ServerProcess, spawnBareServer } from "longwire/test/server-process";
import type { Browser, Page } from "playwright-core";
import { BlockingProxy } from "./support/blocking-proxy.ts";
import { startProxy } from "./support/cutting-proxy.ts";
import { startChromium } from "./support/chromium.ts";
import { until } from "./support/wait.ts";

let server: ServerProcess;
let browser: Browser;
const troubles: string[] = [];

beforeAll(async () => {
  server = await spawnBareServer();
  browser = await startChromium();
});

afterAll(async () => {
  await browser.close();
  await server.remove();
});

async function enter(name: string, locale: string, url = server.url): Promise<Page> {
  const context = await browser.newContext({ locale });
  const page = await context.newPage();
  page.on("pageerror", (error) => troubles.push(`${name}: ${error.message}`));
  page.on("console", (message) => {
    // While the server is away every transport is tried, and the browser tells of each.
    if (message.type() === "error" && !/WebSocket|net::ERR_/.test(message.text()))
      troubles.push(`${name}: ${message.text()}`);
  });
  await page.goto(`${url}/demo`);
  await page.getByTestId("name-input").fill(name);
  await page.getByTestId("join-button").click();
  await page.getByTestId("message-input").waitFor({ state: "visible" });
  return page;
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByTestId("message-input").fill(text);
  await page.getByTestId("send-button").click();
}

/** How often each of the texts stands in the page. */
async function counts(page: Page, texts: readonly string[]): Promise<number[]> {
  const messages = await page.getByTestId("message").allTextContents();
  return texts.map((text) => messages.filter((message) => message.includes(text)).length);
}

/** The line that the server printed, run by the shell, with other words. */
async function pasteCurl(text: string): Promise<void> {
  const line = /curl .*$/m.exec(server.output())?.[0];
  if (line === undefined) throw new Error(`no curl line was printed: ${server.output()}`);
  const shell = Bun.spawn(["bash", "-c", `${line.replace("hello", text)} --silent --fail`], {
    stdout: "pipe",
    stderr: "pipe",
  });
  expect(await shell.exited).toBe(0);
}

/** As a backend would. */
async function publish(data: Readonly<Record<string, string>>): Promise<void> {
  const key = readFileSync(join(server.dataDir, "api-key"), "utf8").trim();
  const response = await fetch(`${server.url}/api/publish`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ channel: "demo:lobby", data }),
  });
  if (!response.ok) throw new Error(await response.text());
}

async function shows(page: Page, texts: readonly string[]): Promise<void> {
  await until(`the page shows ${texts.join(", ")}`, async () =>
    (await counts(page, texts)).every((count) => count > 0),
  );
  expect(await counts(page, texts)).toEqual(texts.map(() => 1));
}

test("two pages chat, curl reaches both, and both survive kill -9 with what they missed", async () => {
  const ann = await enter("Ann", "en-US");
  const ming = await enter("小明", "zh-CN");
  const pages = [ann, ming];
  await say(ann, "first-from-ann");
  await say(ming, "second-from-ming");
  await pasteCurl("third-from-curl");
  const before = ["first-from-ann", "second-from-ming", "third-from-curl"];
  for (const page of pages) await shows(page, before);
  await until(
    "both are listed",
    async () => (await ann.getByTestId("members").textContent())?.includes("小明") === true,
  );

  server.kill("SIGKILL");
  await server.exited;
  // Both notice, and say so with a countdown.
  for (const page of pages) {
    await until(
      "the loss is shown",
      async () => !/Connected|已连接/.test((await page.getByTestId("state").textContent()) ?? ""),
    );
  }
  await server.start();
  await pasteCurl("fourth-while-away");
  const after = [...before, "fourth-while-away"];
  for (const page of pages) await shows(page, after);

  await say(ann, "fifth-after-restart");
  for (const page of pages) await shows(page, [...after, "fifth-after-restart"]);
  expect(troubles).toEqual([]);
}, 120_000);

test("a page whose network was cut gets what it missed, once", async () => {
  const network = startProxy(Number(new URL(server.url).port));
  const page = await enter("Off", "en-US", network.url);
  await shows(page, ["first-from-ann"]);
  network.stop();
  await until(
    "the loss is shown",
    async () => (await page.getByTestId("state").getAttribute("data-status")) === "waiting",
  );
  await pasteCurl("said-meanwhile");
  expect(await counts(page, ["said-meanwhile"])).toEqual([0]);
  const again = startProxy(Number(new URL(server.url).port), Number(new URL(network.url).port));
  await shows(page, ["said-meanwhile"]);
  again.stop();
});

test("a page turned and turned back misses nothing, and nobody sees it leave", async () => {
  const watcher = await enter("Watcher", "en-US");
  const turner = await enter("Turner", "en-US");
  await until(
    "the watcher sees the turner",
    async () => (await watcher.getByTestId("members").textContent())?.includes("Turner") === true,
  );
  await turner.goto(`${server.url}/healthz`);
  await pasteCurl("between-the-pages");
  await turner.goBack();
  await shows(turner, ["between-the-pages"]);
  await Bun.sleep(3500);
  expect(await watcher.getByTestId("messages").textContent()).not.toContain("Turner left");
  expect(await watcher.getByTestId("members").textContent()).toContain("Turner");
});

const TRANSPORTS = ["websocket", "stream", "sse", "poll"] as const;

async function choose(page: Page, transport: (typeof TRANSPORTS)[number] | "automatic"): Promise<void> {
  await page.getByTestId("transport").selectOption(transport);
  if (transport !== "automatic") await isConnectedBy(page, transport);
}

async function isConnectedBy(page: Page, transport: (typeof TRANSPORTS)[number]): Promise<void> {
  await page.locator(`[data-testid=state][data-status=connected][data-transport=${transport}]`).waitFor();
}

test("pages on different transports are in one room", async () => {
  const pages = await Promise.all(
    TRANSPORTS.map(async (transport) => {
      const page = await enter(`By-${transport}`, "en-US");
      await choose(page, transport);
      return page;
    }),
  );
  for (const [at, page] of pages.entries()) await say(page, `said-over-${TRANSPORTS[at]}`);
  const texts = TRANSPORTS.map((transport) => `said-over-${transport}`);
  for (const page of pages) {
    await shows(page, texts);
    for (const transport of TRANSPORTS) {
      await until(
        `By-${transport} is listed`,
        async () => (await page.getByTestId("members").textContent())?.includes(`By-${transport}`) === true,
      );
    }
  }
  // Choosing moves nothing.
  const [page] = pages as [Page];
  const places = (): Promise<unknown> =>
    Promise.all(["transport", "message-input", "messages"].map((id) => page.getByTestId(id).boundingBox()));
  const before = await places();
  // By the keyboard alone: from WebSocket, the second of the list, three down.
  await page.getByTestId("transport").focus();
  for (let step = 0; step < 3; step++) await page.keyboard.press("ArrowDown");
  await isConnectedBy(page, "poll");
  expect(await page.getByTestId("state").textContent()).toBe("Connected · Long polling");
  expect(await places()).toEqual(before);
  await Promise.all(pages.map((each) => each.close()));
}, 120_000);

test("changing the transport loses nothing, repeats nothing, and nobody sees it", async () => {
  const watcher = await enter("Lookout", "en-US");
  const page = await enter("Changer", "en-US");
  await until(
    "the watcher sees the changer",
    async () => (await watcher.getByTestId("members").textContent())?.includes("Changer") === true,
  );
  const texts: string[] = [];
  const changes = new AbortController();
  const speaking = (async () => {
    for (let count = 0; !changes.signal.aborted; count++) {
      const text = `while-changing-${count}.`;
      await publish({ name: "curl", text });
      texts.push(text);
      await Bun.sleep(100);
    }
  })();
  for (const [at, transport] of [...TRANSPORTS, ...TRANSPORTS.toReversed(), "automatic" as const].entries()) {
    // Said in the moment of the change: it is on its way over what is being left.
    await say(page, `mine-${at}.`);
    await choose(page, transport);
    texts.push(`mine-${at}.`);
  }
  changes.abort();
  await speaking;
  for (const each of [page, watcher]) await shows(each, texts);
  const order = (await page.getByTestId("message").allTextContents()).flatMap(
    (text) => /while-changing-(\d+)\./.exec(text)?.[1] ?? [],
  );
  expect(order.map(Number)).toEqual(order.map(Number).toSorted((a, b) => a - b));
  await Bun.sleep(3500);
  const log = (await watcher.getByTestId("messages").textContent()) ?? "";
  expect(log).not.toContain("Changer left");
  expect(log.split("Changer joined")).toHaveLength(2);
  await Promise.all([page.close(), watcher.close()]);
}, 120_000);

test("what was on its way over the transport that is left arrives over the next, once", async () => {
  const watcher = await enter("Receiver", "en-US");
  const page = await enter("Sender", "en-US");
  await choose(page, "stream");
  // Requests that never come through.
  await page.route("**/send?*", () => undefined);
  await say(page, "on-its-way");
  expect(await page.locator("[data-testid=message][data-state=pending]").count()).toBe(1);
  await choose(page, "websocket");
  for (const each of [watcher, page]) await shows(each, ["on-its-way"]);
  await until(
    "it is marked as sent",
    async () => (await page.locator("[data-testid=message][data-state=pending]").count()) === 0,
  );
  await Promise.all([page.close(), watcher.close()]);
});

test.each([
  ["refuses", 403],
  ["swallows", "silence"],
] as const)(
  "a network that %s WebSockets: the page finds another way by itself, and knows it for the visit",
  async (what, way) => {
    const proxy = new BlockingProxy(() => server.url);
    proxy.way = way;
    const page = await enter(`Behind-${what}`, "en-US", proxy.url);
    await isConnectedBy(page, "stream");
    await say(page, `said-behind-${what}`);
    const other = await enter(`Before-${what}`, "en-US");
    await shows(other, [`said-behind-${what}`]);
    await say(other, `heard-behind-${what}`);
    await shows(page, [`heard-behind-${what}`]);
    // What worked is where the next page begins, though it would get through now.
    proxy.way = "through";
    await page.reload();
    await isConnectedBy(page, "stream");
    await shows(page, [`heard-behind-${what}`]);
    await Promise.all([page.close(), other.close()]);
    await proxy.stop();
  },
  60_000,
);

test("what strangers write is text, never markup", async () => {
  const page = await enter("<b>Eve</b>", "en-US");
  await say(page, "<img src=x onerror=alert(1)>");
  await shows(page, ["<img src=x onerror=alert(1)>"]);
  expect(await page.locator("[data-testid=messages] img").count()).toBe(0);
});

test("[ST-5] the made key is kept for its owner alone", () => {
  const key = readFileSync(join(server.dataDir, "api-key"), "utf8").trim();
  expect(key).toStartWith("lw_");
  expect(server.output()).not.toContain(key);
});
