/** Runs the command line as a child process, against a server that only plays the part of the API it needs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeCommand } from "@longwire/protocol";
import { jwtVerify } from "jose";
import { defaultConfig } from "../config/load.ts";

const MAIN = join(import.meta.dir, "main.ts");
const SECRET = "a-secret-of-32-bytes-for-the-test";

let cwd = "";
beforeAll(() => {
  cwd = mkdtempSync(join(tmpdir(), "longwire-cli-"));
});
afterAll(() => rmSync(cwd, { recursive: true, force: true }));

type Environment = Readonly<Record<string, string>>;

function start(args: readonly string[], env: Environment = {}) {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("LONGWIRE_")));
  return Bun.spawn([process.execPath, MAIN, ...args], {
    cwd,
    env: { ...inherited, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function longwire(args: readonly string[], env: Environment = {}) {
  const child = start(args, env);
  const [out, error, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, error, status };
}

describe("longwire", () => {
  test("without a command it shows the commands and exits with 2; asked for help, with 0", async () => {
    const bare = await longwire([]);
    expect(bare).toMatchObject({ status: 2, out: "" });
    const help = await longwire(["help"]);
    expect(help).toEqual({ status: 0, out: bare.error, error: "" });
  });

  test("every command teaches by --help with an example", async () => {
    for (const command of ["serve", "publish", "subscribe", "token", "config", "version"]) {
      const { out, status } = await longwire([command, "--help"]);
      expect(status).toBe(0);
      expect(out).toContain(`longwire ${command}`);
      expect((await longwire(["help", command])).out).toBe(out);
    }
  });

  test("an unknown command or flag is wrong usage, with the nearest good one", async () => {
    const command = await longwire(["publsh"]);
    expect(command.status).toBe(2);
    expect(command.error).toContain('there is no command "publsh"; did you mean publish?');
    const flag = await longwire(["token", "--usr", "bob"]);
    expect(flag.status).toBe(2);
    expect(flag.error).toContain("there is no flag --usr here; did you mean --user?");
    expect(flag.error).not.toContain("at ");
  });

  test("version prints the version", async () => {
    expect((await longwire(["--version"])).out).toMatch(/^longwire \d+\.\d+\.\d+ \(bun \d/);
  });
});

describe("longwire config", () => {
  test("check says that a good configuration is good, and lists the faults of a bad one without a stack", async () => {
    expect(await longwire(["config", "check"], { LONGWIRE_PORT: "9000" })).toMatchObject({ status: 0, error: "" });
    const bad = await longwire(["config", "check", "--port", "none"], { LONGWIRE_FRIES: "1" });
    expect(bad).toMatchObject({ status: 1, out: "" });
    expect(bad.error).toContain('port (--port): must be an integer from 0 to 65535; found "none"');
    expect(bad.error).toContain("LONGWIRE_FRIES: there is no such option");
    expect(bad.error).not.toContain("load.ts");
  });

  test("print shows values with their sources, hides secrets, and can be read as a file again", async () => {
    const env = {
      LONGWIRE_PORT: "9000",
      LONGWIRE_TOKEN_SECRET: SECRET,
      LONGWIRE_API_KEYS: '[{"name":"shop","key":"key-of-the-shop","scopes":["publish"]}]',
    };
    const { out, status } = await longwire(["config", "print", "--no-demo"], env);
    expect(status).toBe(0);
    expect(out).toContain("port = 9000  # LONGWIRE_PORT");
    expect(out).toContain("demo = false  # --no-demo");
    expect(out).toContain('tokenSecret = "********"  # LONGWIRE_TOKEN_SECRET');
    expect(out).not.toContain("key-of-the-shop");
    expect(out).toContain('engine = "sqlite"  # default');
    expect(Bun.TOML.parse(out)).toMatchObject({ port: 9000, channels: { historySize: 100 } });
  });

  test("sample and schema print all there is, to a pipe too", async () => {
    const sample = await longwire(["config", "sample"]);
    expect(sample.out).toContain("# port = 8080");
    const schema = JSON.parse((await longwire(["config", "schema"])).out) as { properties: object };
    expect(Object.keys(schema.properties)).toEqual(["$schema", ...Object.keys(defaultConfig())]);
  });

  test("another word is wrong usage", async () => {
    const { status, error } = await longwire(["config", "chekc"]);
    expect(status).toBe(2);
    expect(error).toContain("did you mean check?");
  });
});

describe("longwire token", () => {
  const env = { LONGWIRE_TOKEN_SECRET: SECRET };

  async function claims(args: readonly string[]) {
    const { out } = await longwire(["token", ...args], env);
    return jwtVerify(out.trim(), new TextEncoder().encode(SECRET), { algorithms: ["HS256"] });
  }

  test("signs what was asked for with the configured secret", async () => {
    const { payload } = await claims([
      "--user",
      "bob",
      "--expires",
      "15m",
      "--channels",
      "news, chat:lobby",
      "--info",
      '{"name":"Bob"}',
      "--allow-subscribe",
      "chat:*,news",
      "--allow-publish=chat:lobby",
    ]);
    expect(payload).toMatchObject({
      sub: "bob",
      channels: ["news", "chat:lobby"],
      info: { name: "Bob" },
      allow: { subscribe: ["chat:*", "news"], publish: ["chat:lobby"] },
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(900);
  });

  test("is good for an hour unless it says otherwise, and never expires if asked", async () => {
    const { payload } = await claims(["--user", "bob"]);
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(3600);
    expect(payload["allow"]).toBeUndefined();
    expect((await claims(["--user", "bob", "--expires", "never"])).payload.exp).toBeUndefined();
  });

  test("[CO-16] [CO-18] signs with a secret of tokenKeys, for the audience and of the issuer that the server asks for", async () => {
    const secret = "0123456789abcdef".repeat(4);
    const { out } = await longwire(["token", "--user", "bob"], {
      LONGWIRE_TOKEN_KEYS: JSON.stringify([
        { algorithm: "ES256", publicKeyFile: "none.pem" },
        { kid: "2026", algorithm: "HS512", secret },
      ]),
      LONGWIRE_TOKEN_AUDIENCE: "chat",
      LONGWIRE_TOKEN_ISSUER: "https://login.example",
    });
    const { payload, protectedHeader } = await jwtVerify(out.trim(), new TextEncoder().encode(secret));
    expect(protectedHeader).toMatchObject({ alg: "HS512", kid: "2026" });
    expect(payload).toMatchObject({ sub: "bob", aud: "chat", iss: "https://login.example" });
  });

  test("refuses what no server would take", async () => {
    const cases: [readonly string[], string][] = [
      [[], "needs --user"],
      [["--user", "a b"], "white space"],
      [["--user", "bob", "--expires", "soon"], "--expires must look like"],
      [["--user", "bob", "--info", "{"], "--info is no JSON"],
      [["--user", "bob", "--channels", ":x"], "--channels"],
      [["bob"], 'what is "bob"?'],
    ];
    for (const [args, words] of cases) {
      const { status, error } = await longwire(["token", ...args], env);
      expect([args, status]).toEqual([args, 2]);
      expect(error).toContain(words);
    }
    const { status, error } = await longwire(["token", "--user", "bob"]);
    expect(status).toBe(1);
    expect(error).toContain("no tokenSecret");
  });
});

describe("longwire publish", () => {
  const requests: { path: string; key: string | null; body: unknown }[] = [];
  const script: { answer(): Response } = { answer: () => new Response() };
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const key = request.headers.get("authorization");
      requests.push({ path: new URL(request.url).pathname, key, body: await request.json() });
      return script.answer();
    },
  });
  afterAll(() => server.stop(true));
  const url = `http://127.0.0.1:${server.port}`;

  test("sends JSON or else text with the key, and prints the answer", async () => {
    script.answer = () =>
      Response.json({ results: [{ channel: "chat", epoch: "e", offset: 5, online: true, subscribers: 2 }] });
    const first = await longwire([
      "publish",
      "chat",
      '{"a":1}',
      "--name",
      "n",
      "--key",
      "k",
      "--url",
      url,
      "--api-key",
      "K",
    ]);
    expect(first).toEqual({
      status: 0,
      out: '{"channel":"chat","epoch":"e","offset":5,"online":true,"subscribers":2}\n',
      error: "",
    });
    // Base64 may look like JSON.
    await longwire(["publish", "chat", "1234", "--encoding", "base64", "--url", url, "--api-key", "K"]);
    await longwire(["publish", "--user", "bob", "hello you"], {
      LONGWIRE_URL: `${url}/below/`,
      LONGWIRE_API_KEY: "configured",
    });
    expect(requests.splice(0)).toEqual([
      { path: "/api/publish", key: "Bearer K", body: { channel: "chat", data: { a: 1 }, name: "n", key: "k" } },
      { path: "/api/publish", key: "Bearer K", body: { channel: "chat", data: "1234", encoding: "base64" } },
      { path: "/below/api/publish", key: "Bearer configured", body: { user: "bob", data: "hello you" } },
    ]);
  });

  test("without anything it speaks to the server of this folder, with the key that server made", async () => {
    mkdirSync(join(cwd, "kept"));
    writeFileSync(join(cwd, "kept", "api-key"), "made-key\n");
    const env = { LONGWIRE_DATA_DIR: "kept", LONGWIRE_PORT: String(server.port) };
    expect((await longwire(["publish", "chat", "-5"], env)).status).toBe(2);
    expect((await longwire(["publish", "--", "chat", "-5"], env)).status).toBe(0);
    expect(requests.splice(0)).toEqual([
      { path: "/api/publish", key: "Bearer made-key", body: { channel: "chat", data: -5 } },
    ]);
  });

  test("refusals of the server are sentences and exit with 1", async () => {
    script.answer = () =>
      Response.json({ error: { code: 117, message: "the API key is missing or wrong" } }, { status: 401 });
    const refused = await longwire(["publish", "chat", "x", "--url", url]);
    expect(refused.status).toBe(1);
    expect(refused.error).toContain("the server refused (401): the API key is missing or wrong");
    expect(refused.error).toContain("--api-key");
    script.answer = () =>
      Response.json({ results: [{ channel: "chat", error: { code: 109, message: "not allowed" } }] });
    expect((await longwire(["publish", "chat", "x", "--url", url])).error).toContain("the server refused: not allowed");
    script.answer = () => new Response("<html>");
    expect((await longwire(["publish", "chat", "x", "--url", url])).status).toBe(1);
    requests.splice(0);
  });

  test("what can be seen to be wrong is not sent, and nobody there is a sentence", async () => {
    expect((await longwire(["publish", "chat", "hello", "world", "--url", url])).status).toBe(2);
    expect((await longwire(["publish", "a b", "x", "--url", url])).status).toBe(2);
    expect((await longwire(["publish", "chat", "x", "--url", "localhost:80"])).status).toBe(2);
    expect(requests).toEqual([]);
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = free;
    free.stop(true);
    const nobody = await longwire(["publish", "chat", "x", "--url", `http://127.0.0.1:${port}`]);
    expect(nobody.status).toBe(1);
    expect(nobody.error).toContain(`cannot reach http://127.0.0.1:${port}`);
  });
});

describe("longwire subscribe", () => {
  test("prints messages once, comes back from its position, gives up where it is told to", async () => {
    const asked: unknown[] = [];
    let connections = 0;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no", { status: 400 })),
      websocket: {
        open() {
          connections++;
        },
        message(socket, text) {
          const command = decodeCommand(String(text), 64);
          asked.push(command);
          if (command.type === "connect") {
            socket.send(JSON.stringify({ type: "connected", id: command.id, session: "s", ping: 25_000 }));
          } else if (command.type === "subscribe") {
            const since = typeof command.since === "object" ? command.since : { epoch: "e", offset: 7 };
            const recovered = connections < 3;
            socket.send(
              JSON.stringify({ type: "subscribed", id: command.id, channel: command.channel, ...since, recovered }),
            );
            const { channel } = command;
            for (const step of [0, 1, 2]) {
              socket.send(JSON.stringify({ type: "message", channel, offset: since.offset + step, data: `m${step}` }));
            }
            if (connections < 3) socket.terminate();
            else socket.close(4103, "");
          }
        },
      },
    });
    try {
      const url = `ws://127.0.0.1:${server.port}`;
      const { out, error, status } = await longwire([
        "subscribe",
        "chat",
        "--since",
        "latest",
        "--token",
        "T",
        "--url",
        url,
      ]);
      const offsets = out
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { offset: number }).offset);
      expect(offsets).toEqual([8, 9, 10, 11, 12, 13]);
      expect(status).toBe(1);
      expect(error).toContain("coming back in 1 s");
      expect(error).toContain("chat: what was missed can no longer be had; going on after #11");
      expect(error).toContain("the connection is not allowed");
      const connect = { type: "connect", id: 1, ping: true, token: "T" };
      const subscribe = { type: "subscribe", id: 2, channel: "chat" };
      expect(asked).toEqual([
        connect,
        { ...subscribe, since: "latest" },
        connect,
        { ...subscribe, since: { epoch: "e", offset: 9 } },
        connect,
        { ...subscribe, since: { epoch: "e", offset: 11 } },
      ]);
    } finally {
      await server.stop(true);
    }
  });

  test("a refused channel is said and given up; without a channel left it ends", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no", { status: 400 })),
      websocket: {
        message(socket, text) {
          const { id, type } = decodeCommand(String(text), 64);
          if (type === "subscribe")
            socket.send(JSON.stringify({ type: "error", id, code: 109, message: "not allowed" }));
        },
      },
    });
    try {
      const { status, error, out } = await longwire(["subscribe", "a", "b,c"], {
        LONGWIRE_URL: `http://127.0.0.1:${server.port}`,
      });
      expect({ status, out }).toEqual({ status: 1, out: "" });
      for (const channel of ["a", "b", "c"]) expect(error).toContain(`${channel}: not allowed`);
      expect(error).toContain("no channel is left");
    } finally {
      await server.stop(true);
    }
  });

  test("it ends without a word when nobody reads any more", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("no", { status: 400 })),
      websocket: {
        message(socket, text) {
          const command = decodeCommand(String(text), 64);
          const { id } = command;
          if (command.type === "connect") socket.send(JSON.stringify({ type: "connected", id, session: "s", ping: 0 }));
          if (command.type !== "subscribe") return;
          const channel = "chat";
          socket.send(JSON.stringify({ type: "subscribed", id, channel, epoch: "e", offset: 0, recovered: true }));
          let offset = 0;
          const timer = setInterval(() => {
            if (socket.readyState !== WebSocket.OPEN) clearInterval(timer);
            else socket.send(JSON.stringify({ type: "message", channel, offset: ++offset, data: 1 }));
          }, 10);
        },
      },
    });
    try {
      const child = start(["subscribe", "chat", "--url", `ws://127.0.0.1:${server.port}`]);
      const reader = child.stdout.getReader();
      await reader.read();
      await reader.cancel();
      expect(await child.exited).toBe(141);
      expect(await new Response(child.stderr).text()).toBe("");
    } finally {
      await server.stop(true);
    }
  });

  test("what can be seen to be wrong is wrong usage", async () => {
    expect((await longwire(["subscribe"])).status).toBe(2);
    expect((await longwire(["subscribe", "a b"])).status).toBe(2);
    expect((await longwire(["subscribe", "chat", "--since", "yesterday"])).status).toBe(2);
  });
});

test("main.ts can be run as a program", () => {
  expect(readFileSync(MAIN, "utf8")).toStartWith("#!/usr/bin/env bun\n");
});
