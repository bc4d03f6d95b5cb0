/** The examples of raw TCP, as their READMEs tell to start them; only the ports are free ones. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openSocket } from "longwire/test/raw-socket";
import { freePort } from "longwire/test/server-process";
import { connectClient, type TestClient } from "longwire/test/ws-client";
import { until } from "./support/wait.ts";

const ROOT = resolve(import.meta.dir, "..");
const folder = mkdtempSync(join(tmpdir(), "longwire-examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Example {
  readonly url: string;
  readonly tcpPort: number;
  readonly ownPort: number;
  stop(): Promise<void>;
}

/** `npm start` with the example's file, in which its port is replaced. */
async function startExample(name: string): Promise<Example> {
  const readme = readFileSync(join(ROOT, "examples", name, "README.md"), "utf8");
  expect(readme).toContain(`npm start -- --config examples/${name}/longwire.toml`);
  const [port, tcpPort, ownPort] = [freePort(), freePort(), freePort()];
  const file = join(folder, `${name}.toml`);
  const written = readFileSync(join(ROOT, "examples", name, "longwire.toml"), "utf8");
  expect(written).toMatch(/^port = \d+$/m);
  writeFileSync(file, written.replace(/^port = \d+$/m, `port = ${ownPort}`));
  const args = [`--config=${file}`, `--port=${port}`, `--tcp-port=${tcpPort}`, `--data-dir=${join(folder, name)}`];
  const child = Bun.spawn(["node", "scripts/launch.mjs", ...args, "--log-level=warn"], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"] },
    stdout: "ignore",
    stderr: "inherit",
  });
  const url = `http://127.0.0.1:${port}`;
  await until("the server is ready", () =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return {
    url,
    tcpPort,
    ownPort,
    async stop() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

let example: Example;
let watcher: TestClient;
afterEach(() => watcher.terminate());

async function watch(channel: string): Promise<void> {
  watcher = await connectClient(example.url);
  await watcher.request({ type: "subscribe", channel });
}

function php(program: string, ...args: readonly string[]) {
  return Bun.spawn(["php", `examples/php-socket/${program}`, ...args], { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
}

async function outputOf(child: ReturnType<typeof php>): Promise<{ out: string; error: string; status: number }> {
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { out, error, status: await child.exited };
}

function key(): Promise<Record<string, string>> {
  return Bun.file(join(folder, "php-socket/api-key"))
    .text()
    .then((text) => ({ authorization: `Bearer ${text.trim()}` }));
}

describe("examples/php-socket", () => {
  beforeAll(async () => {
    example = await startExample("php-socket");
  });
  afterAll(() => example.stop());

  test("[TC-6] [B-3] [B-5] socket_create, socket_write, socket_read: a request, its answer, and the end; many at once", async () => {
    await watch("php:chat");
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, at) =>
        outputOf(php("publisher.php", `grün ${at} "quoted"`, String(example.tcpPort))),
      ),
    );
    for (const { error, status } of answers) expect([status, error]).toEqual([0, ""]);
    const numbers = answers.map(({ out }) => Number(/number (\d+)/.exec(out)?.[1])).toSorted((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 10 }, (_, at) => at + 1));
    const data = (await watcher.received("php:chat", 10)).map((message) => message.data);
    expect(new Set(data)).toEqual(new Set(Array.from({ length: 10 }, (_, at) => `grün ${at} "quoted"`)));
  });

  test("[B-4] without a server there is an error and a status", async () => {
    const { status, error } = await outputOf(php("publisher.php", "x", String(freePort())));
    expect([status, error]).toEqual([1, "cannot connect: Connection refused\n"]);
  });

  test("[TC-9] stream_socket_client: a reader gets what was said before and what is said now", async () => {
    await watch("php:chat");
    const reader = php("reader.php", "12", String(example.tcpPort));
    await until("it reads", async () => {
      const members = await fetch(`${example.url}/api/channels/php:chat`, { headers: await key() });
      return ((await members.json()) as { subscribers: number }).subscribers === 2;
    });
    for (const data of ["eleven", "twelve"]) await watcher.request({ type: "publish", channel: "php:chat", data });
    const { out, error, status } = await outputOf(reader);
    expect([status, error]).toEqual([0, ""]);
    const lines = out.trimEnd().split("\n");
    expect(lines.map((line) => Number(line.split(":")[0]))).toEqual(Array.from({ length: 12 }, (_, at) => at + 1));
    expect(lines.slice(-2)).toEqual(["11: eleven", "12: twelve"]);
  });

  test("[TC-3] fsockopen: a line in, a line out", async () => {
    await watch("php:chat");
    const { out, status } = await outputOf(php("lines.php", "one\nline", String(example.ownPort)));
    expect([status, out]).toEqual([0, "one line\n"]);
    expect((await watcher.received("php:chat", 1)).map(({ data }) => data)).toEqual(["one line"]);
  });
});

describe("examples/tcp-framing", () => {
  beforeAll(async () => {
    example = await startExample("tcp-framing");
  });
  afterAll(() => example.stop());

  test("[TC-8] a meter's readings arrive, and it is told something back", async () => {
    await watch("meters:hall");
    const meter = Bun.spawn([process.execPath, "examples/tcp-framing/meter.ts", String(example.ownPort)], {
      cwd: ROOT,
      stdout: "pipe",
    });
    expect((await watcher.received("meters:hall", 3)).map(({ data }) => data)).toEqual(["21.5", "21.7", "21.6"]);
    await watcher.request({ type: "publish", channel: "meters:hall", data: "set 22.0" });
    const { value } = await meter.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("set 22.0\n");
    meter.kill();
    await meter.exited;
  });

  test("[TC-8] a wrong checksum, or no STX, ends the connection", async () => {
    await watch("meters:hall");
    for (const bytes of [[2, 65, 3, 0], [65]]) {
      const socket = await openSocket(example.ownPort);
      socket.send(Uint8Array.from(bytes));
      expect(await socket.readEnd()).toBe("");
    }
    expect(watcher.messages("meters:hall")).toEqual([]);
  });
});
