/**
 * Cross-site hijacking, tried in real Chromium: pages of three origins, two of which the server does not know, and a visitor whose cookie
 * goes along whatever page asks. The names lead to this machine; cookies know no ports, so what a page's request carries can be seen at
 * a small server under the gateway's name.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import type { BrowserContext, Page } from "playwright-core";
import { startProfile } from "./support/chromium.ts";

const pages = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    if (new URL(request.url).pathname !== "/cookie") return new Response("<title>page</title>", HTML);
    const origin = request.headers.get("origin") ?? "";
    return new Response(request.headers.get("cookie") ?? "", {
      headers: { "access-control-allow-origin": origin, "access-control-allow-credentials": "true" },
    });
  },
});
const HTML = { headers: { "content-type": "text/html" } };

/** A sub-domain that is listed by its pattern; a neighbour under the same domain, and a stranger. */
const GATEWAY = "live.shop.test";
const GOOD = "www.my.shop.test";
const NEIGHBOUR = "evil.shop.test";
const STRANGER = "evil.test";

let server: ServerProcess;
let context: BrowserContext;
let gateway = "";
let profile = "";

const WAIT_MS = 60_000;

beforeAll(async () => {
  const port = freePort();
  gateway = `http://${GATEWAY}:${port}`;
  server = await spawnServer({
    engine: "memory",
    port: String(port),
    "tcp-port": "off",
    origins: `http://*.my.shop.test:${pages.port}`,
    presets: "ratchet",
    "token-cookie": "login",
    "channels-publish": "signed-in",
    "channels-subscribe": "signed-in",
  });
  profile = mkdtempSync(join(tmpdir(), "longwire-profile-"));
  context = await startProfile(profile, [
    "--host-resolver-rules=MAP *.test 127.0.0.1",
    // For cookies of all sites a browser demands TLS, or this word.
    `--unsafely-treat-insecure-origin-as-secure=${gateway},http://${GATEWAY}:${pages.port}`,
  ]);
  const value = await server.token({ sub: "bob" });
  await context.addCookies([
    // Goes along with pages under the same domain, WebSockets included.
    { name: "login", value, domain: GATEWAY, path: "/", sameSite: "Lax" },
    { name: "everywhere", value: "1", domain: GATEWAY, path: "/", sameSite: "None", secure: true },
  ]);
}, WAIT_MS);

afterAll(async () => {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
  await server.remove();
  await pages.stop(true);
}, WAIT_MS);

interface Attempt {
  readonly way: string;
  readonly got: string;
}

async function openPage(host: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`http://${host}:${pages.port}/`);
  return page;
}

/** Everything a page can try, with the visitor's cookies: what it gets to read. */
function attempts(page: Page): Promise<Attempt[]> {
  return page.evaluate(async (url) => {
    const socket = (path: string): Promise<string> =>
      new Promise((resolve) => {
        const one = new WebSocket(url.replace("http", "ws") + path);
        const end = (got: string): void => {
          resolve(got);
          one.close();
        };
        one.addEventListener("message", ({ data }) => end(`open: ${String(data)}`));
        one.addEventListener("open", () => {
          one.send('{"type":"connect","id":1}');
          // Some say nothing to whoever speaks.
          setTimeout(() => end("open: silent"), 500);
        });
        one.addEventListener("close", ({ code }) => resolve(code === 1006 ? "refused" : `open: closed ${code}`));
      });
    const events = (): Promise<string> =>
      new Promise((resolve) => {
        const source = new EventSource(`${url}/sse?channel=a`, { withCredentials: true });
        const end = (got: string): void => {
          resolve(got);
          source.close();
        };
        source.addEventListener("message", ({ data }) => end(`open: ${String(data)}`));
        source.addEventListener("error", () => end("refused"));
      });
    const request = async (path: string, more: RequestInit = {}): Promise<string> => {
      const leaving = new AbortController();
      try {
        const answer = await fetch(url + path, { credentials: "include", signal: leaving.signal, ...more });
        const { value } = (await answer.body?.getReader().read()) ?? {};
        leaving.abort();
        return `open: ${answer.status} ${new TextDecoder().decode(value)}`;
      } catch {
        return "refused";
      }
    };
    const publish = '{"type":"publish","channel":"a","data":"hijacked","id":1}';
    const json = { "content-type": "application/json" };
    return [
      { way: "/ws", got: await socket("/ws") },
      { way: "/raw/a", got: await socket("/raw/a") },
      { way: "/", got: await socket("/") },
      { way: "/sse", got: await events() },
      { way: "/stream", got: await request("/stream?channel=a") },
      { way: "/poll", got: await request("/poll?channel=a") },
      { way: "POST /poll", got: await request("/poll?channel=a", { method: "POST", body: "" }) },
      { way: "/send", got: await request("/send", { method: "POST", body: publish }) },
      { way: "/send after a preflight", got: await request("/send", { method: "POST", body: publish, headers: json }) },
    ];
  }, gateway);
}

async function published(): Promise<unknown[]> {
  const { body } = await server.api("GET", "/api/channels/a/history");
  return (body as { publications: { data: unknown }[] }).publications.map(({ data }) => data);
}

test(
  "[WS-11] [OW-12] the visitor's cookie goes along, and pages of unknown origins get nothing by any way",
  async () => {
    for (const [host, cookies] of [
      [NEIGHBOUR, ["everywhere", "login"]],
      [STRANGER, ["everywhere"]],
    ] as const) {
      const page = await openPage(host);
      const carried = await page.evaluate(
        async (url) => await (await fetch(url, { credentials: "include" })).text(),
        `http://${GATEWAY}:${pages.port}/cookie`,
      );
      const names = carried.split("; ").map((pair) => pair.split("=")[0] ?? "");
      expect([host, names.toSorted((a, b) => (a < b ? -1 : 1))]).toEqual([host, [...cookies]]);
      for (const { way, got } of await attempts(page)) expect([host, way, got]).toEqual([host, way, "refused"]);
      await page.close();
    }
    expect(await published()).toEqual([]);
  },
  WAIT_MS,
);

test(
  "[WS-11] [OW-12] [CO-20] a page of a listed origin gets everything, as the user of the cookie",
  async () => {
    const page = await openPage(GOOD);
    const got = new Map((await attempts(page)).map((one) => [one.way, one.got]));
    for (const [way, what] of got) expect([way, what]).toEqual([way, expect.stringMatching(/^open: /)]);
    for (const way of ["/ws", "/stream", "/sse"])
      expect([way, got.get(way)]).toEqual([way, expect.stringContaining('"user":"bob"')]);
    await page.close();
    expect(await published()).toContain("hijacked");
  },
  WAIT_MS,
);

test(
  "[AP-22] the HTTP API answers no page of another origin, listed or not",
  async () => {
    for (const host of [GOOD, NEIGHBOUR]) {
      const page = await openPage(host);
      const got = await page.evaluate(async (url) => {
        const api = `${url}/api/publish`;
        const body = '{"channel":"a","data":"by page"}';
        return await fetch(api, { method: "POST", body, headers: { authorization: "Bearer test-api-key" } }).then(
          ({ status }) => String(status),
          () => "refused",
        );
      }, gateway);
      expect([host, got]).toEqual([host, "refused"]);
      await page.close();
    }
    expect(await published()).not.toContain("by page");
  },
  WAIT_MS,
);
