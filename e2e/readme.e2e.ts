/**
 * README.md says what is true: every command, page and snippet in it is run as it stands, in order, in a folder like a fresh
 * clone, with only the port replaced. README.zh-CN.md holds the same code.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectClient } from "longwire/test/ws-client";
import { startRedis } from "longwire/test/redis";
import { freePort } from "longwire/test/server-process";
import type { Browser, Page } from "playwright-core";
import { startChromium } from "./support/chromium.ts";
import { bareCode, type CodeBlock, readCodeBlocks, ROOT } from "./support/code-blocks.ts";
import { makeClone, type RunningCommand } from "./support/fresh-clone.ts";
import { until } from "./support/wait.ts";

const port = freePort();
const url = `http://127.0.0.1:${port}`;
const tcpPort = freePort();
const clone = makeClone({ LONGWIRE_PORT: String(port), LONGWIRE_TCP_PORT: String(tcpPort) });
const blocks = await readCodeBlocks("README.md");
const taken = new Set<CodeBlock>();
/** Pages of the application: on another port, as a backend would serve them. */
const pages = new Map<string, () => string>();
const backend = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  development: false,
  fetch: (request) => {
    const page = pages.get(new URL(request.url).pathname);
    // A favicon that is not there would be told as an error.
    if (page === undefined) return new Response(null, { status: 204 });
    return new Response(page(), { headers: { "content-type": "text/html; charset=utf-8" } });
  },
});

let server: RunningCommand | undefined;
let browser: Browser;
/** What the reader's shell has exported. */
let shell: Record<string, string> = {};

beforeAll(async () => {
  browser = await startChromium();
});

afterAll(async () => {
  await browser.close();
  await server?.stop();
  await backend.stop(true);
  clone.remove();
});

/** The formatter decides about spaces. */
function dense(text: string): string {
  return text.replaceAll(/\s/g, "");
}

/** The next block of the README that holds these words, with this run's port; each block is taken once. */
function take(language: string, words: string): string {
  const block = blocks.find(
    (candidate) =>
      !taken.has(candidate) && candidate.language === language && dense(candidate.code).includes(dense(words)),
  );
  if (block === undefined) throw new Error(`README.md has no (further) ${language} block with ${words}`);
  taken.add(block);
  return block.code.replaceAll("127.0.0.1:8080", `127.0.0.1:${port}`).replace("127.0.0.1 8081", `127.0.0.1 ${tcpPort}`);
}

async function ready(): Promise<void> {
  await until("the server is ready", () =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
}

function askApi(path: string): Promise<string> {
  return clone.run(`curl --silent --fail ${url}${path} -H "Authorization: Bearer $(cat data/api-key)"`);
}

/** JSON with what differs from run to run made the same. */
function alike(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) =>
    ["epoch", "offset", "subscribers"].includes(key) ? `some ${key}` : value,
  );
}

async function openPage(path: string, logs: string[]): Promise<Page> {
  const page = await browser.newPage();
  page.on("console", (message) => logs.push(message.text()));
  page.on("pageerror", (error) => logs.push(`fault: ${error.message}`));
  await page.goto(`${backend.url.origin}${path}`);
  return page;
}

/** Runs PHP files as the web server would, with the helper `json` that ThinkPHP has. */
async function php(code: string, files: Readonly<Record<string, string>>): Promise<string> {
  const app = join(clone.folder, "app");
  mkdirSync(join(app, "controller"), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(app, name), text);
  const requires = Object.keys(files).map((name) => `require 'app/${name}';`);
  writeFileSync(
    join(clone.folder, "main.php"),
    `<?php\nfunction json($value) { return json_encode($value); }\n${requires.join("\n")}\n${code}`,
  );
  return await clone.run("php main.php", shell);
}

test("the two commands are the first thing after the purpose, and `npm start` starts", async () => {
  expect(blocks[0]?.line).toBeLessThan(10);
  const lines = take("sh", "npm start").trim().split("\n");
  expect(lines.map((line) => line.replace(/ *#.*/, ""))).toEqual(["npm start", "npm test"]);
  server = clone.start("npm start");
  await ready();
  expect(server.output()).toContain(`${url}/demo`);
  expect(await (await fetch(`${url}/demo`)).text()).toContain("<html");
});

test("the curl line of the beginning reaches the demo", async () => {
  const watcher = await connectClient(url);
  await watcher.request({ type: "subscribe", channel: "demo:lobby" });
  await clone.run(`${take("sh", "demo:lobby").trim()} --silent --fail`);
  expect(await watcher.received("demo:lobby", 1)).toMatchObject([{ data: { name: "curl", text: "hello" } }]);
  watcher.terminate();
});

test("the page with the SDK shows what is published", async () => {
  const html = take("html", "longwire.js");
  pages.set("/index.html", () => html);
  const logs: string[] = [];
  const page = await openPage("/index.html", logs);
  await page.locator("#state", { hasText: "connected" }).waitFor();
  await until("it is subscribed", async () => {
    return (JSON.parse(await askApi("/api/channels/news")) as { subscribers: number }).subscribers === 1;
  });
  await clone.run(take("sh", "longwire publish news"));
  await page.locator("#news li", { hasText: "it works" }).waitFor();
  expect(logs).toEqual([]);
  await page.close();
});

test("pages without any SDK get frames, bare data, and answers", async () => {
  pages.set("/bare.html", () => "<!doctype html><title>bare</title>");
  const logs: string[] = [];
  const page = await openPage("/bare.html", logs);
  const script = take("js", "channels=news");
  await page.addScriptTag({ content: script });
  await page.addScriptTag({
    content: `const bare = new WebSocket("ws://127.0.0.1:${port}/ws?channels=news&frames=data&since=earliest");
      bare.onmessage = (event) => console.log("bare " + event.data);`,
  });
  await until("the oldest publication came", () => logs.some((line) => line.startsWith("bare ")));
  expect(logs).toEqual(['bare {"text":"it works"}']);
  await page.addScriptTag({ content: take("js", '"type": "publish"') });
  await until("the answers came", () => logs.filter((line) => line.includes('"demo:lobby"')).length === 3);
  const frames = logs.filter((line) => line.includes('"demo:lobby"')).map(alike);
  const printed = take("json", '"type":"subscribed"').trim().split("\n").map(alike);
  for (const frame of printed) expect(frames).toContainEqual(frame);
  expect(logs.filter((line) => line.startsWith("fault"))).toEqual([]);
  await page.close();
});

test("EventSource, curl and nc are clients", async () => {
  const logs: string[] = [];
  const page = await openPage("/bare.html", logs);
  await page.addScriptTag({ content: take("js", "EventSource") });
  const shells = ["/sse/news", "nc 127.0.0.1"].map((words) => clone.start(take("sh", words)));
  await until("three subscribers", async () => {
    return (JSON.parse(await askApi("/api/channels/news")) as { subscribers: number }).subscribers === 3;
  });
  await clone.run(`npx longwire publish news '{"text": "to all three"}'`);
  for (const shell of shells) await until("the shell prints it", () => shell.output().includes("to all three"));
  // The console shows the greeting and the subscription as objects, too.
  await until("the page logs it", () => logs.length >= 3);
  expect(logs.filter((line) => line.startsWith("fault"))).toEqual([]);
  await Promise.all([page.close(), ...shells.map((shell) => shell.stop())]);
});

describe("publish", () => {
  test("with curl, as JSON and as a form", async () => {
    const watcher = await connectClient(url);
    await watcher.request({ type: "subscribe", channel: "news", since: "latest" });
    const output = await clone.run(take("sh", "as a form").replaceAll("curl ", "curl --silent --fail -w '\\n' "));
    const answers = output.trim().split("\n").map(alike);
    const printed = alike(take("json", '"online":true'));
    expect(answers).toEqual([printed, printed]);
    await until("both came", () => watcher.messages("news").length === 2);
    expect(watcher.messages("news").map(({ data }) => data)).toEqual([{ text: "as JSON" }, { text: "as a form" }]);
    watcher.terminate();
    shell["LONGWIRE_API_KEY"] = (await clone.run("cat data/api-key")).trim();
  });

  test("from PHP, and from a controller", async () => {
    const files = {
      "common.php": take("php", "longwire_publish("),
      "controller/Order.php": take("php", "class Order"),
    };
    const code = "echo (new app\\controller\\Order())->paid(7, 'ann');";
    expect(JSON.parse(await php(code, files))).toEqual({ ok: true, online: false });
    expect(JSON.parse(await askApi("/api/channels/@ann/history"))).toMatchObject({
      publications: [{ name: "order.paid", data: { order: 7 } }],
    });
    const refused =
      "try { longwire_publish(['chanel' => 'x']); } catch (RuntimeException $e) { echo $e->getMessage(); }";
    expect(await php(refused, files)).toContain("there is no field `chanel`");
  });
});

describe("tokens", () => {
  test("the server starts with secrets of the reader's own", async () => {
    await server?.stop();
    const lines = take("sh", "openssl").trim().split("\n");
    const start = lines.pop() ?? "";
    const values = await clone.run(`${lines.join("\n")}\necho "$LONGWIRE_API_KEY $LONGWIRE_TOKEN_SECRET"`);
    const [key = "", secret = ""] = values.trim().split(" ");
    shell = { LONGWIRE_API_KEY: key, LONGWIRE_TOKEN_SECRET: secret };
    server = clone.start(start, shell);
    await ready();
    const stranger = await connectClient(url);
    expect(await stranger.ask({ type: "subscribe", channel: "room:1" })).toMatchObject({ type: "error", code: 302 });
    stranger.terminate();
  });

  test("a token made by hand allows what it says", async () => {
    const token = (await clone.run(take("sh", "longwire token"), shell)).trim();
    const client = await connectClient(url, { token });
    expect(await client.ask({ type: "subscribe", channel: "room:1" })).toMatchObject({ type: "subscribed" });
    expect(await client.ask({ type: "publish", channel: "room:1", data: 1 })).toMatchObject({ type: "published" });
    expect(await client.ask({ type: "publish", channel: "room:2", data: 1 })).toMatchObject({ code: 109 });
    client.terminate();
  });

  test("a page with a token from PHP gets what came while its user was away, once, and goes on after a break", async () => {
    const tokenFile = { "token.php": take("php", "longwire_token(") };
    const token = await php("echo longwire_token('bob', ['info' => ['nick' => 'Bob']]);", tokenFile);
    pages.set("/longwire-token", () => token);
    pages.set("/bob.html", () => `<!doctype html><title>Bob</title><script src="${url}/longwire.js"></script>`);
    const inbox = take("js", "client.inbox()");
    const room = take("js", 'client.channel("room:1")');

    const published = await clone.run(take("sh", "--user bob '{"), shell);
    expect(alike(published)).toEqual(alike(take("json", '"channel":"@bob"')));

    const logs: string[] = [];
    const first = await openPage("/bob.html", logs);
    await first.addScriptTag({ content: inbox });
    await until("the message came", () => logs.some((line) => line.startsWith("order.paid")));
    await first.addScriptTag({ content: room });
    const count = (): Promise<string> => clone.run(`npx longwire publish room:1 '"hello"'`, shell);
    await until("the room is open", async () => (JSON.parse(await count()) as { online: boolean }).online);
    await until("the room's message came", () => logs.some((line) => line.endsWith(" hello")));
    // The acknowledgement takes a moment; a page that is closed in order sends it at once.
    await first.close({ runBeforeUnload: true });
    await until("the page is gone", () => first.isClosed());

    const later: string[] = [];
    const second = await openPage("/bob.html", later);
    await second.addScriptTag({ content: inbox });
    await clone.run(`npx longwire publish --user bob '"next"' --name later`, shell);
    await until("the next message came", () => later.some((line) => line.startsWith("later")));
    expect(later).toEqual(["later next"]);
    await second.close();
    expect(logs.filter((line) => line.startsWith("order.paid"))).toHaveLength(1);
  });
});

test("the configuration is written, checked and printed, and the short file is good", async () => {
  const output = await clone.run(take("sh", "config sample"), shell);
  expect(output).toContain("the configuration is good");
  expect(output).not.toContain(shell["LONGWIRE_TOKEN_SECRET"] ?? "no secret");
  writeFileSync(join(clone.folder, "longwire.toml"), take("toml", "namespaces.chat"));
  expect(await clone.run("npx longwire config check", shell)).toContain("the configuration is good");
});

test("workers share the ports and are replaced, and nodes share a Redis", async () => {
  await server?.stop();
  // Machines may have one core, and then one process is all.
  server = clone.start(take("sh", "--workers auto").replace("auto", "2"), shell);
  await ready();
  const sums = async (): Promise<unknown> =>
    JSON.parse(
      await clone.run(`curl --silent --fail ${url}/api/stats -H "Authorization: Bearer $LONGWIRE_API_KEY"`, shell),
    );
  await until("both workers are there", async () => ((await sums()) as { processes: number }).processes === 2);
  await clone.run(take("sh", "longwire reload"), shell);
  expect(await sums()).toMatchObject({ processes: 2 });
  await server.stop();
  const redis = await startRedis();
  server = clone.start(take("sh", "--engine redis").replace("redis://10.0.0.5:6379", redis.url), shell);
  await ready();
  await clone.run(`npx longwire publish news '"by Redis"'`, shell);
  expect(await redis.cli("KEYS", "longwire*news")).toContain("news");
  await server.stop();
  server = undefined;
  await redis.stop();
});

test("every command of the table is there", async () => {
  const readme = await Bun.file(join(ROOT, "README.md")).text();
  const help = await clone.run("npx longwire help");
  const named = [...readme.matchAll(/^\| `longwire (\w+)/gm)].map((match) => match[1] ?? "");
  const known = [...help.matchAll(/^ {2}(\w+) {2,}/gm)]
    .map((match) => match[1] ?? "")
    .filter((name) => name !== "help");
  expect([...new Set(named)].toSorted()).toEqual(known.toSorted());
});

test.each(["README.md", "README.zh-CN.md"])("the figures of %s are those of docs/benchmarks.md", async (page) => {
  const readme = await Bun.file(join(ROOT, page)).text();
  const figures = [...readme.matchAll(/^\| (Longwire \(sqlite\)|ws|Socket\.IO) +\| +([\d.]+) +\| +([\d.]+) KB +\|$/gm)];
  expect(figures).toHaveLength(3);
  const benchmarks = await Bun.file(join(ROOT, "docs/benchmarks.md")).text();
  const fanout = benchmarks.split("### ").find((section) => section.startsWith("Fan-out")) ?? "";
  const rows = fanout.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  for (const [, name = "", times = "", kilobytes = ""] of figures) {
    const row = rows.find((cells) => cells[1] === name && cells[2] === "20");
    expect([name, row?.[7], row?.[10]]).toEqual([name, times, kilobytes]);
  }
});

test("no block was left out", () => {
  expect(blocks.filter((block) => !taken.has(block))).toEqual([]);
});

test.each([
  ["README.zh-CN.md", "README.md"],
  ["docs/zh-CN/sdk.md", "docs/sdk.md"],
  ["docs/zh-CN/http-api.md", "docs/http-api.md"],
  ["docs/zh-CN/presets.md", "docs/presets.md"],
])("%s holds the code of %s; comments may differ", async (translation, page) => {
  expect((await readCodeBlocks(translation)).map(bareCode)).toEqual((await readCodeBlocks(page)).map(bareCode));
});

test("what docs/zh-CN/configuration.md names is there, and its examples are good", async () => {
  const page = await Bun.file(join(ROOT, "docs/zh-CN/configuration.md")).text();
  const reference = await Bun.file(join(ROOT, "docs/configuration.md")).text();
  const options = [...page.matchAll(/^\| `([\w.]+)` +\| (`([^`]+)`)?/gm)];
  expect(options).toHaveLength(15);
  for (const [, name = "", , value] of options) {
    const section = reference.split("### ").find((text) => text.startsWith(`\`${name}\``)) ?? "";
    expect([name, section]).toEqual([name, expect.stringContaining("- default: ")]);
    if (value !== undefined && name !== "channels.publish")
      expect([name, section.replaceAll(/`"?|"?`/g, "`")]).toEqual([
        name,
        expect.stringContaining(`- default: \`${value}\``),
      ]);
  }
  const example = (await readCodeBlocks("docs/zh-CN/configuration.md")).find(({ language }) => language === "toml");
  writeFileSync(join(clone.folder, "longwire.toml"), example?.code ?? "");
  expect(await clone.run("npx longwire config check")).toContain("the configuration is good");
});
