/** Start and stop as a user sees them: the process, its words, its exit status, its files. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openWebSocket, webSocketFrame } from "longwire/test/raw-socket";
import { API_KEY, type Flags, TOKEN_SECRET } from "longwire/test/server";
import { freePort, type ServerProcess, spawnServer } from "longwire/test/server-process";
import { connectClient } from "longwire/test/ws-client";
import { until } from "./support/wait.ts";

const MEGABYTE = 1024 * 1024;
const ROOT = resolve(import.meta.dir, "..");
const MAIN = join(ROOT, "packages/server/src/cli/main.ts");

const root = mkdtempSync(join(tmpdir(), "longwire-start-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const servers: ServerProcess[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.remove();
});

async function spawn(flags: Flags = {}): Promise<ServerProcess> {
  const server = await spawnServer(flags);
  servers.push(server);
  return server;
}

function folder(): string {
  return mkdtempSync(join(root, "run-"));
}

interface Ending {
  readonly status: number;
  readonly out: string;
  readonly error: string;
}

/** Runs a start that is to be refused. */
async function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = folder(),
): Promise<Ending> {
  const child = Bun.spawn([process.execPath, MAIN, "serve", ...args], {
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const giveUp = setTimeout(() => child.kill("SIGKILL"), 30_000);
  const [out, error, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearTimeout(giveUp);
  return { status, out, error };
}

/** [ST-3] A sentence that says what, a sentence that says what to do, no stack, exit status 1. */
function expectRefusal({ status, out, error }: Ending, what: readonly string[], advice: string | RegExp): void {
  for (const word of what) expect(error).toContain(word);
  expect(error).toMatch(advice);
  expect(error).toStartWith("longwire serve: ");
  expect(error).not.toMatch(/^\s+at /m);
  expect(error).not.toContain(".ts:");
  expect(out).not.toContain("listening");
  expect(status).toBe(1);
}

/** Every file below a folder, with what it holds. A made key is nobody's data; the lock, SQLite's shared memory and an empty log hold no data. */
function contentsOf(dataDir: string): Record<string, string> {
  const files = readdirSync(dataDir, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(dataDir, name)).isFile() && statSync(join(dataDir, name)).size > 0)
    .filter((name) => !/(-shm|\.lock|^api-key)$/.test(name));
  return Object.fromEntries(
    files.toSorted().map((name) => [name, Bun.hash(readFileSync(join(dataDir, name))).toString()]),
  );
}

/** A data folder with a database of a stopped server. */
async function usedFolder(): Promise<string> {
  const dataDir = folder();
  const server = await spawn({ "data-dir": dataDir });
  for (let data = 0; data < 50; data++) await server.publish("kept", { data, filler: "x".repeat(500) });
  server.kill("SIGTERM");
  await server.exited;
  return dataDir;
}

/** The line that a first start prints. */
function lineOf(server: ServerProcess): string {
  const [, line] = /^ +publish: +(curl .*)$/m.exec(server.output()) ?? [];
  if (line === undefined) throw new Error(`no line to paste in: ${server.output()}`);
  return line;
}

/** Runs it as a user would, and returns what was answered. */
async function paste(line: string): Promise<{ results?: { offset: number; subscribers: number }[] }> {
  const shell = Bun.spawn(["bash", "-c", line], { cwd: tmpdir(), stdout: "pipe", stderr: "pipe" });
  const text = await new Response(shell.stdout).text();
  expect(await shell.exited).toBe(0);
  return JSON.parse(text) as Awaited<ReturnType<typeof paste>>;
}

describe("a start that is refused", () => {
  test("[ST-2] [B-4] a port in use", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const ending = await start(["--port", String(taken.port)]);
    expectRefusal(ending, [`127.0.0.1:${taken.port}`, "in use"], "--port");
    taken.stop(true);
  });

  test("[ST-2] the port of another Longwire", async () => {
    const server = await spawn();
    const { port } = new URL(server.url);
    expectRefusal(await start(["--port", port]), ["in use"], "--port");
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  });

  test("[ST-1] an unknown or wrong key in flag, environment and file, with its path and the nearest good one", async () => {
    expectRefusal(await start(["--prot=9000"]), ["--prot"], "port");
    expectRefusal(await start([], { LONGWIRE_PROT: "9000" }), ["LONGWIRE_PROT"], "config sample");
    expectRefusal(await start(["--port=99999"]), ["port", "99999"], "65535");
    expectRefusal(await start(["--port=none"]), ["port", "none"], "integer");
    expectRefusal(await start(["--port=-1"]), ["port", "-1"], "65535");
    const file = join(folder(), "longwire.toml");
    writeFileSync(file, 'port = 0\n[channels]\nhistroySize = 5\n[namespaces.chat]\nstart = "now"\n');
    const ending = await start(["--config", file]);
    expectRefusal(ending, ["channels.histroySize", "namespaces.chat.start", "line 3"], "historySize");
  });

  test("[ST-1] a configuration file that is missing, is no file, or cannot be parsed", async () => {
    const dir = folder();
    expectRefusal(await start(["--config", join(dir, "nothing.toml")]), [join(dir, "nothing.toml")], /config/);
    expectRefusal(await start(["--config", dir]), [dir], /config/);
    for (const [name, text] of [
      ["broken.toml", "port = = 1"],
      ["broken.json", '{"port": 1'],
      ["broken.yaml", "port: [1"],
    ] as const) {
      writeFileSync(join(dir, name), text);
      expectRefusal(await start(["--config", join(dir, name)]), [name], /config/);
      expect(readFileSync(join(dir, name), "utf8")).toBe(text);
    }
  });

  test("[NS-11] a host other than loopback without secrets", async () => {
    for (const host of ["0.0.0.0", "::"]) {
      expectRefusal(await start(["--port=0", `--host=${host}`]), [host, "this machine"], "LONGWIRE_API_KEY");
    }
  });

  test("[ST-2] a host that is not this machine's", async () => {
    const ending = await start(["--port=0", "--host=192.0.2.1", `--api-key=${API_KEY}`]);
    expectRefusal(ending, ["192.0.2.1"], /host/);
  });

  test("[ST-2] a data folder that cannot be one", async () => {
    for (const engine of ["sqlite", "memory"]) {
      const file = join(folder(), "data");
      writeFileSync(file, "precious");
      expectRefusal(await start(["--port=0", `--engine=${engine}`, `--data-dir=${file}`]), [file], /folder/);
      expect(readFileSync(file, "utf8")).toBe("precious");
    }
    const below = join(folder(), "data");
    writeFileSync(below, "precious");
    const secrets = [`--api-key=${API_KEY}`, `--token-secret=${TOKEN_SECRET}`, "--host=127.0.0.1"];
    expectRefusal(await start(["--port=0", ...secrets, `--data-dir=${below}/deeper`]), [below], /dataDir/);
    expect(readFileSync(below, "utf8")).toBe("precious");
  });

  test("[ST-2] [ST-4] a second instance on the same data; after SIGKILL of the first the folder is free", async () => {
    const first = await spawn();
    await first.publish("a", 1);
    const args = ["--port=0", `--data-dir=${first.dataDir}`, "--log-level=silent"];
    expectRefusal(await start(args), [first.dataDir, "another Longwire"], /Stop it|folder of its own/);
    expect(await first.publish("a", 2)).toMatchObject({ offset: 2 });
    first.kill("SIGKILL");
    await first.exited;
    await first.start();
    expect(await first.publish("a", 3)).toMatchObject({ offset: 3 });
  });

  test("[ST-2] a database that is damaged, of another program, or newer: nothing is overwritten", async () => {
    const dataDir = await usedFolder();
    const path = join(dataDir, "longwire.db");
    const good = readFileSync(path);
    const refuse = async (words: readonly string[]): Promise<void> => {
      const before = contentsOf(dataDir);
      expectRefusal(await start(["--port=0", `--data-dir=${dataDir}`]), [path, ...words], /left as it is/);
      expect(contentsOf(dataDir)).toEqual(before);
    };
    writeFileSync(path, "this is no database, but somebody's file\n".repeat(100));
    await refuse(["not a Longwire database"]);
    writeFileSync(path, good.subarray(0, good.length / 2));
    await refuse(["damaged"]);
    const holed = Buffer.from(good);
    holed.fill(0xff, 4096, 8192);
    writeFileSync(path, holed);
    await refuse(["damaged"]);
    for (const [pragma, word] of [
      ["user_version = 999", "newer"],
      ["application_id = 7", "another program"],
    ] as const) {
      writeFileSync(path, good);
      const database = new Database(path);
      database.run(`PRAGMA ${pragma}`);
      database.close(true);
      rmSync(`${path}-wal`, { force: true });
      await refuse([word]);
    }
    writeFileSync(path, good);
    const server = await spawn({ "data-dir": dataDir });
    expect(await server.publish("kept", "after all that")).toMatchObject({ offset: 51 });
  });

  test("[ST-8] a wrong secret is not repeated", async () => {
    const ending = await start(["--token-secret=shortie", "--api-key=tiny1", "--port=0"]);
    expectRefusal(ending, ["tokenSecret", "apiKey"], "config sample");
    expect(ending.error).not.toContain("shortie");
    expect(ending.error).not.toContain("tiny1");
  });
});

describe("a first start", () => {
  const bare: Flags = { "api-key": "", "token-secret": "", "channels-subscribe": "", "log-format": "json" };

  test("[ST-5] makes a key for its owner alone; the printed line works as pasted, also from a folder with an odd name", async () => {
    for (const name of ["data", "it's $HOME's \"data\" `folder` 数据"]) {
      const dataDir = join(folder(), name);
      mkdirSync(dataDir);
      const server = await spawn({ ...bare, "data-dir": dataDir });
      await until("the line to paste", () => server.output().includes("publish:"));
      const listener = await connectClient(server.url);
      await listener.request({ type: "subscribe", channel: "demo:lobby" });
      expect(await paste(lineOf(server))).toMatchObject({ results: [{ offset: 1, subscribers: 1 }] });
      expect((await listener.received("demo:lobby", 1))[0]?.data).toEqual({ name: "curl", text: "hello" });
      listener.terminate();
      const file = join(dataDir, "api-key");
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const key = readFileSync(file, "utf8").trim();
      // [ST-8] The key itself is not printed.
      expect(server.output()).not.toContain(key);
      server.kill("SIGTERM");
      await server.exited;
      await server.start();
      await until("the line to paste", () => server.output().includes("publish:"));
      expect(readFileSync(file, "utf8").trim()).toBe(key);
      expect(await paste(lineOf(server))).toMatchObject({ results: [{ offset: 2 }] });
    }
  });

  test("[ST-7] [A-4] `npm start` runs the gateway; with port 0 the line that says it is ready names the port", async () => {
    const cwd = folder();
    const child = Bun.spawn(
      ["node", join(ROOT, "scripts/launch.mjs"), "--port=0", "--tcp-port=0", "--log-format=json"],
      {
        cwd,
        env: { PATH: process.env["PATH"], HOME: process.env["HOME"] },
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const errors = new Response(child.stderr).text();
    let out = "";
    let asked = false;
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      out += decoder.decode(chunk, { stream: true });
      const [, url] = /"url":"(http:[^"]+)"/.exec(out) ?? [];
      if (asked || url === undefined || !out.includes("publish:")) continue;
      asked = true;
      expect((await fetch(`${url}/healthz`)).status).toBe(200);
      expect(new URL(url).port).not.toBe("0");
      child.kill("SIGTERM");
    }
    expect([await child.exited, await errors]).toEqual([0, ""]);
  });

  test("[ST-8] [BY-10] it tells who came and went, and configured secrets nowhere", async () => {
    const server = await spawn({ "log-level": "debug" });
    const client = await connectClient(server.url, { token: await server.token({ sub: "bob" }) });
    await server.publish("a", 1);
    await client.close(1000, "enough");
    server.kill("SIGTERM");
    await server.exited;
    const entries = server
      .output()
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as { msg: string; session?: string });
    expect(entries.filter(({ session }) => session === client.session)).toMatchObject([
      { msg: "session opened", user: "bob", level: "debug" },
      { msg: "connection closed", user: "bob", code: 1000, reason: "enough" },
    ]);
    expect(entries.at(-1)).toMatchObject({ msg: "stopped", level: "info" });
    expect(server.output()).not.toContain(API_KEY);
    expect(server.output()).not.toContain(TOKEN_SECRET);
  });
});

describe("a stop", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    test(`[ST-6] [BY-8] ${signal} under load: goodbye to everybody, exit 0, and what was acknowledged is kept`, async () => {
      const server = await spawn({ "channels-publish": "everybody", "channels-history-size": "100000" });
      const listeners = await Promise.all(Array.from({ length: 20 }, () => connectClient(server.url)));
      for (const listener of listeners) await listener.request({ type: "subscribe", channel: "load" });
      const acknowledged = new Map<number, string>();
      const publishing = Array.from({ length: 4 }, async (_, publisher) => {
        const client = await connectClient(server.url);
        for (let count = 0; client.isOpen; count++) {
          const data = `${publisher}/${count}`;
          const answer = await client.request({ type: "publish", channel: "load", data }).catch(() => undefined);
          if (answer !== undefined) acknowledged.set(answer.offset, data);
        }
        return client.closed;
      });
      await listeners[0]?.received("load", 200);
      server.kill(signal);
      const ends = await Promise.all([...publishing, ...listeners.map((listener) => listener.closed)]);
      for (const end of ends) expect(end).toEqual({ code: 4200, reason: "the server is going away" });
      for (const listener of listeners) {
        expect(listener.frames.at(-1)).toMatchObject({ type: "disconnect", code: 4200, reconnect: true });
      }
      expect(await server.exited).toBe(0);
      await server.start();
      const reader = await connectClient(server.url);
      await reader.request({ type: "subscribe", channel: "load", since: "earliest" });
      const kept = await reader.received("load", Math.max(...acknowledged.keys()));
      for (const [offset, data] of acknowledged) expect(kept[offset - 1]).toMatchObject({ offset, data });
      reader.terminate();
    });
  }

  test("[ST-6] a signal that comes twice at once is one; a second one later hurries", async () => {
    const server = await spawn({
      "drain-seconds": "3600",
      "ping-timeout-ms": "3600000",
      "queue-bytes-max": String(64 * MEGABYTE),
    });
    await server.publish("kept", 1);
    server.kill("SIGTERM");
    server.kill("SIGINT");
    expect(await server.exited).toBe(0);
    await server.start();
    const idler = await openWebSocket(Number(new URL(server.url).port), "/ws");
    idler.send(webSocketFrame("text", '{"type":"subscribe","channel":"kept","id":1}'));
    await idler.readFrame();
    // More than the kernel's buffers hold, and it does not read: the server waits for it.
    idler.pause();
    for (let offset = 2; offset <= 31; offset++) {
      expect(await server.publish("kept", "x".repeat(MEGABYTE - 2))).toMatchObject({ offset });
    }
    server.kill("SIGTERM");
    await until("it says that it stops", () => server.output().includes("stopping"));
    const patience = Bun.sleep(1000).then(() => "still there");
    expect(await Promise.race([server.exited, patience])).toBe("still there");
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    idler.destroy();
    await server.start();
    expect(await server.publish("kept", 3)).toMatchObject({ offset: 32 });
  });
});

test("[ST-7] a port that is free is taken as it was asked for", async () => {
  const port = freePort();
  const server = await spawn({ port: String(port) });
  await until("it names its address", () => server.output().includes(`http://127.0.0.1:${port}`));
});
