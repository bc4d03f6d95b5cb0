/** What a newcomer does: open /demo in two windows, chat, paste the printed curl line, kill the server and start it again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ServerProcess, spawnBareServer } from "longwire/test/server-process";
import type { Browser, Page } from "playwright-core";
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
    if (message.type() === "error" && !message.text().includes("WebSocket"))
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
