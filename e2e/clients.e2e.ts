/**
 * Clients that know nothing of Longwire: curl, nc, socat, the browser's EventSource, the npm package `eventsource`. Every block of
 * docs/transports.md is run as it stands, with only addresses replaced; the files of proxies are run by proxies.e2e.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EventSource } from "eventsource";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import type { Browser, Page } from "playwright-core";
import { startChromium } from "./support/chromium.ts";
import { bareCode, type CodeBlock, readCodeBlocks, ROOT } from "./support/code-blocks.ts";
import { until } from "./support/wait.ts";

const blocks = await readCodeBlocks("docs/transports.md");
const taken = new Set<CodeBlock>();
const tcpPort = freePort();
/** Pages of an application: of another origin than the server. */
const pages = new Map<string, string>();
const backend = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  development: false,
  fetch: (request) => {
    const page = pages.get(new URL(request.url).pathname);
    if (page === undefined) return new Response(null, { status: 204 });
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  },
});
/** Within the repository, so that packages are found by name. */
const folder = mkdtempSync(join(ROOT, "e2e/.clients-"));

let server: ServerProcess;
let browser: Browser;

beforeAll(async () => {
  server = await spawnServer({ "tcp-port": String(tcpPort), demo: "true", "retry-ms": "500" });
  browser = await startChromium();
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await backend.stop(true);
  await browser.close();
  await server.remove();
});

/** The next block that holds these words, with this run's addresses; each is taken once. */
function take(language: string, words: string): string {
  const block = blocks.find((other) => !taken.has(other) && other.language === language && other.code.includes(words));
  if (block === undefined) throw new Error(`docs/transports.md has no ${language} block with ${words}`);
  taken.add(block);
  return block.code
    .replaceAll("127.0.0.1:8080", new URL(server.url).host)
    .replaceAll("127.0.0.1 8081", `127.0.0.1 ${tcpPort}`)
    .replaceAll("127.0.0.1:8081", `127.0.0.1:${tcpPort}`);
}

interface Terminal {
  readonly output: () => string;
  prints(words: string, times?: number): Promise<void>;
  type(line: string): Promise<void>;
  /** Closes the terminal: everything in it ends. */
  close(): Promise<void>;
}

/** A command in a terminal of its own. */
function open(...command: readonly string[]): Terminal {
  // A session of its own: closing it ends the whole pipeline, and the shell's loop.
  const child = Bun.spawn(["setsid", ...command], { cwd: folder, stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  let output = "";
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
  };
  void collect(child.stdout);
  void collect(child.stderr);
  return {
    output: () => output,
    prints: (words, times = 1) =>
      until(`${times} x ${words} in:\n${output}`, () => output.split(words).length > times, 30_000).catch(() => {
        throw new Error(`not ${times} x ${words} in:\n${output}`);
      }),
    async type(line) {
      await child.stdin.write(`${line}\n`);
      await child.stdin.flush();
    },
    async close() {
      process.kill(-child.pid, "SIGTERM");
      await child.exited;
    },
  };
}

async function subscribers(channel: string, count: number): Promise<void> {
  await until(`${count} subscribers of ${channel}`, async () => {
    const { body } = await server.api("GET", `/api/channels/${channel}`);
    return (body as { subscribers?: number }).subscribers === count;
  });
}

/** What is published from now on is published to a server that was killed and started again. */
async function killAndStart(): Promise<void> {
  server.kill("SIGKILL");
  await server.exited;
  await server.start();
}

describe("the page's commands", () => {
  test.each([
    ["curl of an event stream", "/sse/news"],
    ["curl of an HTTP stream", "/stream?"],
  ])("%s", async (_, words) => {
    const curl = open("bash", "-c", take("sh", words));
    await subscribers("news", 1);
    await server.publish("news", { text: `to ${words}` });
    await curl.prints(`to ${words}`);
    await curl.close();
    await subscribers("news", 0);
  });

  test("long polling in a shell: nothing is lost between two polls, nothing comes twice, over a restart too", async () => {
    const loop = open("bash", "-c", take("sh", "/poll?"));
    await subscribers("news", 1);
    for (let count = 0; count < 20; count++) await server.publish("news", { text: `poll-${count}.` });
    await killAndStart();
    await server.publish("news", { text: "poll-20." });
    await loop.prints("poll-20.");
    await loop.close();
    const found = [...loop.output().matchAll(/poll-(\d+)\./g)].map((match) => Number(match[1]));
    expect(found).toEqual(Array.from({ length: 21 }, (_, count) => count));
  });

  test("a command by curl", async () => {
    const curl = open("bash", "-c", `${take("sh", "/send").trim()} --silent`);
    await curl.prints('"type":"published"');
  });

  test.each(["nc ", "socat "])("TCP with %s, typed into", async (tool) => {
    const terminal = open("bash", "-c", take("sh", tool));
    await terminal.prints('"subscribed"');
    await server.publish("news", { text: `to ${tool}` });
    await terminal.prints(`to ${tool}`);
    await terminal.type('{"type": "history", "id": 7, "channel": "news", "limit": 1}');
    await terminal.prints('"type":"history"');
    await terminal.close();
    // That nobody reads any more shows with what is sent.
    await server.publish("news", { text: "anybody?" });
    await server.publish("news", { text: "nobody?" });
    await subscribers("news", 0);
  });

  test("the page with nothing but EventSource", async () => {
    pages.set("/news.html", take("html", "EventSource"));
    const page = await browser.newPage();
    await page.goto(`${backend.url.origin}/news.html`);
    await subscribers("news", 1);
    await server.publish("news", { text: "to the page" });
    await page.locator("#news li", { hasText: "to the page" }).waitFor();
    await page.close();
    await subscribers("news", 0);
  });

  test("the npm package `eventsource`, on Node.js", async () => {
    const file = join(folder, "news.mjs");
    writeFileSync(file, take("js", "eventsource"));
    const node = open("node", file);
    await subscribers("news", 1);
    await server.publish("news", { text: "to Node.js" });
    await node.prints("to Node.js");
    await node.close();
  });

  test("the proxies' blocks are the files that are tested", () => {
    for (const [language, file] of [
      ["nginx", "nginx.conf"],
      ["apache", "apache.conf"],
      ["haproxy", "haproxy.cfg"],
      ["caddy", "Caddyfile"],
    ] as const) {
      const block = blocks.find((other) => other.language === language);
      expect([file, block?.code]).toEqual([file, readFileSync(join(ROOT, "deploy/proxies", file), "utf8")]);
      if (block !== undefined) taken.add(block);
    }
  });

  test("no block was left out, and the Chinese page has the same", async () => {
    expect(blocks.filter((block) => !taken.has(block))).toEqual([]);
    expect((await readCodeBlocks("docs/zh-CN/transports.md")).map(bareCode)).toEqual(blocks.map(bareCode));
  });
});

/** Opens a page that only opens an EventSource, and collects what it is told. */
async function listen(path: string): Promise<{ page: Page; found: () => string[] }> {
  pages.set("/bare.html", "<!doctype html><title>bare</title>");
  const page = await browser.newPage();
  const found: string[] = [];
  await page.exposeFunction("tell", (text: string) => found.push(text));
  await page.goto(`${backend.url.origin}/bare.html`);
  await page.evaluate((url) => {
    const globals = globalThis as unknown as { tell(text: string): void };
    new EventSource(url).addEventListener("message", (event) => globals.tell(String(event.data)));
  }, `${server.url}${path}`);
  return { page, found: () => found };
}

describe("EventSource in Chromium, and the server killed and started again", () => {
  test("[ES-3] [ES-5] one channel: the page comes back by itself and has each publication exactly once, in order", async () => {
    const { page, found } = await listen("/sse/quotes?frames=data");
    await subscribers("quotes", 1);
    let last = 0;
    const publish = async (count: number): Promise<void> => {
      for (let round = 0; round < count; round++) await server.publish("quotes", ++last);
    };
    await publish(20);
    await until("the first", () => found().length === 20);
    for (let round = 0; round < 2; round++) {
      const publishing = publish(10);
      await publishing;
      await killAndStart();
      // The page waits for half a second: these are published while it is away.
      await publish(10);
      await subscribers("quotes", 1);
      await publish(10);
    }
    await until("everything", () => found().length >= last);
    await Bun.sleep(200);
    expect(found().map(Number)).toEqual(Array.from({ length: last }, (_, at) => at + 1));
    await page.close();
  });

  test("[ES-4] [ES-5] several channels: nothing is lost, and each channel is in order", async () => {
    const channels = ["east", "west", "north"];
    const { page, found } = await listen("/sse?channels=east,west,north");
    await subscribers("east", 1);
    const publish = async (from: number, to: number): Promise<void> => {
      for (let count = from; count <= to; count++) {
        await Promise.all(channels.map((channel) => server.publish(channel, count)));
      }
    };
    await publish(1, 20);
    await killAndStart();
    await publish(21, 40);
    await subscribers("east", 1);
    await publish(41, 60);
    const read = (): { channel: string; offset: number }[] =>
      found()
        .map((text) => JSON.parse(text) as { type: string; channel: string; offset: number })
        .filter(({ type }) => type === "message");
    await until("everything", () => read().filter(({ offset }) => offset === 60).length >= 3);
    for (const name of channels) {
      // What one turn brought may come again after a cut, and only that: the page that looks at offsets has each once.
      const fresh: number[] = [];
      for (const { channel, offset } of read()) {
        if (channel === name && offset > (fresh.at(-1) ?? 0)) fresh.push(offset);
      }
      expect(fresh).toEqual(Array.from({ length: 60 }, (_, at) => at + 1));
    }
    await page.close();
  });
});

test("[ES-5] the npm package `eventsource` comes back by itself, and has each once", async () => {
  const source = new EventSource(`${server.url}/sse/npm?frames=data`);
  const found: number[] = [];
  source.addEventListener("message", ({ data }) => found.push(Number(data)));
  await subscribers("npm", 1);
  for (let count = 1; count <= 10; count++) await server.publish("npm", count);
  await killAndStart();
  for (let count = 11; count <= 20; count++) await server.publish("npm", count);
  await until("everything", () => found.length >= 20);
  expect(found).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  source.close();
});
