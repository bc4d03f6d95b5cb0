/** examples/counter, as its README tells to start it, with both backends and with one and two processes; only the ports are free ones. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type BareClient, connectBare } from "longwire/test/bare-client";
import { freePort } from "longwire/test/server-process";
import { until } from "./support/wait.ts";

const ROOT = resolve(import.meta.dir, "..");
const START = "node scripts/run.mjs examples/counter/start.ts";
const KEY = "the-key-of-this-test";
const PEER_LENGTH = 6;
const CLIENTS_MAX = 64;

interface Counted {
  readonly text: string;
  readonly count: number;
  readonly total: number;
}

interface Counter {
  readonly client: BareClient;
  readonly session: string;
  /** What it was answered about its own words. */
  said(text: string): Promise<Counted>;
}

const folder = mkdtempSync(join(tmpdir(), "longwire-counter-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each([
  ["ts", 1],
  ["ts", 2],
  ["php", 2],
] as const)("examples/counter: a backend in %s, %i workers", (language, workers) => {
  let url = "";
  let child: Bun.Subprocess;
  const counters: Counter[] = [];

  beforeAll(async () => {
    const words = language === "php" ? `${START} php` : START;
    for (const page of ["README.md", "README.zh-CN.md"])
      expect(readFileSync(join(ROOT, "examples/counter", page), "utf8")).toContain(`\n${words}\n`);
    const port = freePort();
    url = `http://127.0.0.1:${port}`;
    const own = ["--tcp-port=0", `--data-dir=${join(folder, `${language}-${workers}`)}`, "--log-level=warn"];
    child = Bun.spawn([...words.split(" "), ...own], {
      cwd: ROOT,
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        PORT: String(port),
        BACKEND_PORT: String(freePort()),
        WORKERS: String(workers),
        LONGWIRE_API_KEY: KEY,
      },
      stdout: "ignore",
      // PHP writes a line for each request.
      stderr: "ignore",
    });
    await until("it is ready", () =>
      fetch(`${url}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  });

  afterEach(() => {
    for (const { client } of counters.splice(0)) client.terminate();
  });

  afterAll(async () => {
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  });

  async function ask(path: string): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${url}/api/${path}`, { headers: { authorization: `Bearer ${KEY}` } });
    return { status: response.status, body: await response.json() };
  }

  async function valueOf(key: string): Promise<number | "none"> {
    const { status, body } = await ask(`state/${encodeURIComponent(key)}`);
    return status === 404 ? "none" : (body as { value: number }).value;
  }

  async function sessions(): Promise<string[]> {
    const { body } = await ask("sessions");
    return (body as { sessions: { session: string }[] }).sessions.map(({ session }) => session);
  }

  /** Each in a channel of its own, so that it hears itself alone. */
  async function connect(): Promise<Counter> {
    const before = new Set(await sessions());
    const client = await connectBare(`${url}/raw/counter:${counters.length}`);
    let session: string | undefined;
    await until("it is listed", async () => {
      session = (await sessions()).find((id) => !before.has(id));
      return session !== undefined;
    });
    const counter: Counter = {
      client,
      session: session as string,
      async said(text) {
        client.send(text);
        const messages = await client.received(client.messages.length + 1);
        return JSON.parse(String(messages.at(-1))) as Counted;
      },
    };
    counters.push(counter);
    return counter;
  }

  test("[NB-8] [D-9] each connection counts its own messages, all of them count the total, and at close the count is gone", async () => {
    // The kernel spreads connections as it likes.
    const processes = new Map<string, Counter>();
    for (let n = 0; n < CLIENTS_MAX && processes.size < workers; n++) {
      const counter = await connect();
      processes.set(counter.session.slice(-PEER_LENGTH), counter);
    }
    expect(processes.size).toBe(workers);
    const [one, other] = [...processes.values(), await connect()] as [Counter, Counter];
    const before = await valueOf("total");
    const first = before === "none" ? 0 : before;
    for (let n = 1; n <= 3; n++) {
      expect(await one.said(`a${n}`)).toEqual({ text: `a${n}`, count: n, total: first + 2 * n - 1 });
      expect(await other.said(`b${n}`)).toEqual({ text: `b${n}`, count: n, total: first + 2 * n });
    }
    expect(await one.said("更多")).toEqual({ text: "更多", count: 4, total: first + 7 });
    expect(await Promise.all([one, other].map(({ session }) => valueOf(`count:${session}`)))).toEqual([4, 3]);
    one.client.terminate();
    await until("its count is gone", async () => (await valueOf(`count:${one.session}`)) === "none");
    expect([await valueOf(`count:${other.session}`), await valueOf("total")]).toEqual([3, first + 7]);
  });

  test("[AP-16] none is counted twice or left out when many talk at once", async () => {
    const all = await Promise.all(Array.from({ length: 4 }, () => connectBare(`${url}/raw/counter:all`)));
    const before = await valueOf("total");
    for (const client of all) for (let n = 0; n < 25; n++) client.send(`${n}`);
    const heard = (await all[0]?.received(100))?.map((message) => JSON.parse(String(message)) as Counted) ?? [];
    const first = before === "none" ? 0 : before;
    const totals = heard.map(({ total }) => total - first).toSorted((a, b) => a - b);
    expect(totals).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
    const counts = heard.map(({ count }) => count).toSorted((a, b) => a - b);
    expect(counts).toEqual(Array.from({ length: 100 }, (_, n) => Math.floor(n / 4) + 1));
    for (const client of all) client.terminate();
    await until("all are gone", async () => (await sessions()).length === 0);
  });
});
