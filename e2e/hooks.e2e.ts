/**
 * docs/hooks.md says what is true: its configuration, its backends in PHP and TypeScript and its lines for a page are taken from it and run, with
 * real PHP sessions and a real browser, whose cookie has to arrive by every way that a page has.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { connectClient } from "longwire/test/ws-client";
import type { Browser, Page } from "playwright-core";
import { startChromium } from "./support/chromium.ts";
import { bareCode, type CodeBlock, readCodeBlocks } from "./support/code-blocks.ts";
import { until } from "./support/wait.ts";

const folder = mkdtempSync(join(tmpdir(), "longwire-hooks-"));
const blocks = await readCodeBlocks("docs/hooks.md");
const backendPort = freePort();
const backendUrl = `http://127.0.0.1:${backendPort}`;

let server: ServerProcess;
let backend: Bun.Subprocess | undefined;

/** The block of this language that holds these words, with this run's ports. */
function take(language: string, words: string): string {
  const found = blocks.filter((block: CodeBlock) => block.language === language && block.code.includes(words));
  expect([words, found.length]).toEqual([words, 1]);
  return (found[0]?.code ?? "")
    .replaceAll("127.0.0.1:8000", `127.0.0.1:${backendPort}`)
    .replaceAll("127.0.0.1:8080", new URL(server?.url ?? "http://127.0.0.1:8080").host);
}

/** What a page does, as the page of docs has it. */
function socketLines(): string {
  return take("js", "new WebSocket");
}

/** The same by every other way. */
function otherLines(): string {
  return `${take("js", "withCredentials")}
  events.onmessage = ({ data }) => console.log(JSON.parse(data));
  console.log({ poll: await polled.json() });
  const stream = await fetch("${server.url}/stream?channels=room:1", { credentials: "include" });
  const { value } = await stream.body.getReader().read();
  console.log({ stream: new TextDecoder().decode(value) });
  const line = JSON.stringify({ type: "publish", id: 1, channel: "room:1", data: { text: "damn it" } });
  const sent = await fetch("${server.url}/send", { method: "POST", credentials: "include", body: line });
  console.log({ send: await sent.json() });`;
}

async function startBackendProcess(command: readonly string[]): Promise<void> {
  backend = Bun.spawn([...command], { cwd: folder, stdout: "ignore", stderr: "ignore" });
  await until("the backend answers", async () => {
    try {
      await fetch(backendUrl);
      return true;
    } catch {
      return false;
    }
  });
}

async function stopBackendProcess(): Promise<void> {
  backend?.kill();
  await backend?.exited;
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("a backend in PHP", () => {
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    writeFileSync(join(folder, "longwire.toml"), take("toml", "hookUrl"));
    server = await spawnServer({ config: join(folder, "longwire.toml"), "token-secret": "" });
    writeFileSync(join(folder, "hooks.php"), take("php", "hooks.php"));
    writeFileSync(join(folder, "login.php"), take("php", "login.php"));
    writeFileSync(join(folder, "page.html"), "<!doctype html><title>page</title>");
    // Without a memory for files, one of which is changed below.
    const settings = ["-d", `session.save_path=${folder}`, "-d", "opcache.enable=0"];
    await startBackendProcess(["php", "-S", `127.0.0.1:${backendPort}`, ...settings]);
    browser = await startChromium();
    page = await (await browser.newContext()).newPage();
  });

  afterAll(async () => {
    await browser.close();
    await server.remove();
    await stopBackendProcess();
  });

  /** What the page's lines show within the time they need, as text. */
  async function run(code: string, wanted: string): Promise<string> {
    await page.goto(`${backendUrl}/page.html`);
    return await page.evaluate(
      async ([lines, words]) => {
        let shown = "";
        const console = { log: (value: unknown) => (shown += JSON.stringify(value)) };
        const Run = Object.getPrototypeOf(async () => undefined).constructor as FunctionConstructor;
        await (Run("console", lines) as (console: object) => Promise<void>)(console);
        for (let n = 0; n < 100 && !shown.includes(words); n++) await new Promise((resolve) => setTimeout(resolve, 50));
        return shown;
      },
      [code, wanted] as const,
    );
  }

  test("[HK-4] a visitor who is not logged in is refused, in the application's words", async () => {
    const shown = await run(socketLines(), "disconnect");
    expect(shown).toContain('"code":4103');
    expect(shown).toContain("please log in");
  });

  test("[HK-2] [HK-3] [HK-6] after the login the page is its visitor, on every transport", async () => {
    await page.goto(`${backendUrl}/login.php`);
    const shown = await run(socketLines(), "subscribed");
    expect(shown).toContain('"user":"42"');
    expect(shown).toContain('"channel":"room:1"');
    const others = await run(otherLines(), "****");
    // Three greetings, and the message.
    expect(others.match(/\\?"user\\?":\\?"42\\?"/g)?.length).toBe(4);
    // Changed by the application, on its way from POST to the event stream.
    expect(others).toContain('"data":{"text":"**** it"}');
    expect(others).toMatch(/"send":\{"type":"published","id":1/);
  });

  test("[HK-6] [HK-9] rooms of others, and what may not be said", async () => {
    const lines = `const socket = new WebSocket("${server.url.replace("http", "ws")}/ws?channels=room:2");
      socket.onmessage = ({ data }) => console.log(JSON.parse(data));
      socket.onopen = () => socket.send('{"type":"publish","id":7,"channel":"room:1","data":{"text":" "}}');`;
    const shown = await run(lines, '"id":7');
    expect(shown).toContain("members only");
    expect(shown).toContain("say something");
  });

  test("[HK-13] a page of another site is not its visitor", async () => {
    const stranger = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      development: false,
      fetch: () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } }),
    });
    const evil = await page.context().newPage();
    await evil.goto(stranger.url.href);
    const shown = await evil.evaluate(
      async (url) => {
        const socket = new WebSocket(`${url}/ws?channels=room:1`);
        const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener("close", resolve));
        return (await closed).code;
      },
      server.url.replace("http", "ws"),
    );
    // On loopback any page of this machine may connect, but nobody's cookie counts.
    expect(shown).toBe(4103);
    await evil.close();
    await stranger.stop(true);
  });

  test("[HK-5] a secret that is wrong lets nobody in and sends nobody away for good, and the log says so", async () => {
    writeFileSync(join(folder, "hooks.php"), take("php", "hooks.php").replace("32-random", "33-random"));
    const shown = await run(socketLines(), "disconnect");
    expect(shown).toContain('"code":4204');
    expect(server.output()).toContain("status 401");
    expect(server.output()).not.toContain("32-random");
  });
});

describe("a backend in TypeScript", () => {
  beforeAll(async () => {
    server = await spawnServer({
      "hook-url": `${backendUrl}/`,
      "hook-secret": "32-random-bytes-known-to-both",
      "hook-connect": "always",
      "channels-publish": "hook",
      "channels-subscribe": "hook",
    });
    writeFileSync(join(folder, "backend.ts"), take("ts", "createServer").replace("(8000,", `(${backendPort},`));
    await startBackendProcess([process.execPath, "backend.ts"]);
  });

  afterAll(async () => {
    await server.remove();
    await stopBackendProcess();
  });

  test("[HK-2] checks tokens of its own, and answers about channels", async () => {
    const bob = await connectClient(server.url, { token: "opaque-token-of-bob" });
    expect(bob.frames[0]).toMatchObject({ type: "connected", user: "bob" });
    await bob.request({ type: "subscribe", channel: "a" });
    await bob.request({ type: "publish", channel: "a", data: "short" });
    const failure = await bob
      .request({ type: "publish", channel: "a", data: "x".repeat(2000) })
      .catch((e: unknown) => e);
    expect(failure).toMatchObject({ code: 109 });
    await bob.close();
    const eve = await connectClient(server.url, { connect: false });
    eve.send({ type: "connect", id: 1, token: "made-up" });
    expect(await eve.next((frame) => frame.type === "error")).toMatchObject({ id: 1, code: 109 });
    eve.terminate();
  });
});

test("questions in the page are what is sent", () => {
  const questions = blocks.filter(({ language }) => language === "json").map(({ code }) => JSON.parse(code) as object);
  expect(questions).toMatchObject([{ event: "connect" }, { event: "subscribe" }, { event: "publish" }]);
});

test("docs/zh-CN/hooks.md holds the same code", async () => {
  expect((await readCodeBlocks("docs/zh-CN/hooks.md")).map(bareCode)).toEqual(blocks.map(bareCode));
});
