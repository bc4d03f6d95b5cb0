/** The gateway as a user runs it: `longwire serve` as a child process, spoken to by the other commands. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MAIN = join(import.meta.dir, "main.ts");

let cwd = "";
const children: Bun.Subprocess[] = [];
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), "longwire-serve-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
  rmSync(cwd, { recursive: true, force: true });
});

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("LONGWIRE_")));
  const child = Bun.spawn([process.execPath, MAIN, ...args], {
    cwd,
    env: { ...inherited, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  children.push(child);
  return child;
}

/** Reads lines until one matches; what else comes later is thrown away, so that the child never waits for a reader. */
async function lineOf(stream: ReadableStream<Uint8Array>, pattern: RegExp): Promise<RegExpExecArray> {
  const decoder = new TextDecoder();
  let text = "";
  const reader = stream.getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the child ended without ${String(pattern)}: ${text}`);
    text += decoder.decode(value, { stream: true });
    const match = pattern.exec(text);
    if (match === null) continue;
    void drain(reader);
    return match;
  }
}

async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  while (!(await reader.read()).done);
}

async function serve(...args: readonly string[]) {
  const child = start([
    "serve",
    "--port",
    "0",
    "--tcp-port",
    "0",
    "--engine",
    "memory",
    "--log-format",
    "json",
    ...args,
  ]);
  const [, url = ""] = await lineOf(child.stdout, /"url":"(http:[^"]+)"/);
  return { child, url };
}

test("SIGTERM and SIGINT end it in order, with 0", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const { child, url } = await serve();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    child.kill(signal);
    expect(await child.exited).toBe(0);
  }
});

test("what publish says reaches subscribe, without any configuration", async () => {
  const { url } = await serve();
  const env = { LONGWIRE_URL: url };
  const subscriber = start(["subscribe", "demo:lobby", "--since", "earliest"], env);
  const received = lineOf(subscriber.stdout, /^\{.*\}$/m);
  const publisher = start(["publish", "demo:lobby", '{"text":"hello"}', "--name", "greeting"], env);
  expect(await publisher.exited).toBe(0);
  expect(JSON.parse((await received)[0])).toMatchObject({
    channel: "demo:lobby",
    offset: 1,
    name: "greeting",
    data: { text: "hello" },
  });
});

test("it cannot start: words, no stack, status 1", async () => {
  const { url } = await serve();
  const cases: [readonly string[], string][] = [
    [["--port", new URL(url).port, "--engine", "memory"], "in use"],
    [["--prot", "1"], "did you mean --port?"],
    [["--host", "0.0.0.0"], "LONGWIRE_API_KEY"],
    [["--config", "missing.toml"], "missing.toml"],
    [["--data-dir", "/dev/null/data"], "/dev/null/data"],
  ];
  for (const [args, words] of cases) {
    const child = start(["serve", ...args]);
    const error = await new Response(child.stderr).text();
    expect([args, await child.exited]).toEqual([args, 1]);
    expect(error).toContain(words);
    expect(error).not.toMatch(/\n\s+at /);
  }
});
