/**
 * Secrets stay where they were put. A server with every kind of secret, everything logged, is used well and badly on every way in; then all that
 * it has said is searched for them: log, answers, frames, the printed configuration, messages about a wrong one.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "longwire/test/server-process";
import { signToken } from "longwire/test/server";
import { ROOT } from "./support/code-blocks.ts";
import { until } from "./support/wait.ts";

const MAIN = join(ROOT, "packages/server/src/cli/main.ts");
/** All that the server has: made up, and found nowhere else. */
const SECRETS = {
  apiKey: "api-key-3f9c1d7a52b84e60",
  shopKey: "shop-key-8d21b7c4e95f4a03",
  tokenSecret: "token-secret-b1e4973ac86d40f2a5d9",
  listedSecret: "listed-secret-7c05e2f8914bd63a60f1",
  hookSecret: "hook-secret-e8817ad4c0294f5b",
  passphrase: "passphrase-55d0c6e19f3b",
} as const;
/** What clients bring: theirs, or wrong ones that are almost right. */
const BROUGHT = {
  wrongKey: "api-key-3f9c1d7a52b84e61",
  cookie: "session-cookie-a90b7d3fe4c2",
  wrongSecret: "token-secret-of-somebody-else-0123456789",
} as const;

const FILES = `-addext subjectAltName=IP:127.0.0.1 -keyout tls.key -out tls.crt -passout pass:${SECRETS.passphrase}`;
const WAIT_MS = 60_000;

let folder = "";
let port = 0;
let tcpPort = 0;
let ca = "";
let output = "";
let server: Bun.Subprocess<"ignore", "pipe", "pipe">;
let backend: Bun.Server<undefined>;
/** Everything that clients were told. */
const answered: string[] = [];
const tokens: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "longwire-secrets-"));
  const openssl = Bun.spawnSync(
    [
      "sh",
      "-c",
      `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=localhost -days 2 ${FILES}`,
    ],
    { cwd: folder, stderr: "ignore" },
  );
  expect(openssl.exitCode).toBe(0);
  ca = readFileSync(join(folder, "tls.crt"), "utf8");
  // A backend in trouble: what it says ends up in no log.
  backend = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => new Response(`<h1>oops</h1>${await request.text()}`, { status: 500 }),
  });
  port = freePort();
  tcpPort = freePort();
  writeConfig({});
  server = Bun.spawn([process.execPath, MAIN, "serve", "--config", "longwire.json"], {
    cwd: folder,
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] },
  });
  void collect(server.stdout);
  void collect(server.stderr);
  await until("it listens", () => output.includes('"listening"'));
});

afterAll(async () => {
  server.kill("SIGKILL");
  await backend.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

function writeConfig(changes: Readonly<Record<string, unknown>>): void {
  const config = {
    port,
    tcpPort,
    host: "127.0.0.1",
    dataDir: join(folder, "data"),
    logLevel: "debug",
    logFormat: "json",
    apiKey: SECRETS.apiKey,
    apiKeys: [{ name: "shop", key: SECRETS.shopKey, scopes: ["publish"], namespaces: ["shop"] }],
    tokenSecret: SECRETS.tokenSecret,
    tokenKeys: [{ kid: "second", algorithm: "HS256", secret: SECRETS.listedSecret }],
    tokenCookie: "login",
    tlsCert: "tls.crt",
    tlsKey: "tls.key",
    tlsKeyPassphrase: SECRETS.passphrase,
    hookUrl: `${String(backend.url)}hooks`,
    hookSecret: SECRETS.hookSecret,
    hookTimeoutMs: 500,
    drainSeconds: 1,
    namespaces: { asked: { subscribe: "hook", publish: "hook" } },
    ...changes,
  };
  writeFileSync(join(folder, "longwire.json"), JSON.stringify(config, null, 2));
}

async function collect(stream: ReadableStream<Uint8Array>): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) output += decoder.decode(chunk, { stream: true });
}

async function ask(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string,
): Promise<void> {
  const response = await fetch(`https://127.0.0.1:${port}${path}`, {
    method,
    headers,
    tls: { ca },
    ...(body !== undefined && { body }),
  });
  answered.push(JSON.stringify([...response.headers]), await response.text());
}

/** Says something on a WebSocket, and keeps what was answered until the server ends it or says nothing more. */
async function speak(
  path: string,
  frames: readonly unknown[],
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const options = { headers, tls: { ca } } as unknown as string;
  const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, options);
  const over = new Promise<void>((resolve) => {
    socket.addEventListener("close", (event) => {
      answered.push(event.reason);
      resolve();
    });
  });
  socket.addEventListener("open", () => {
    for (const frame of frames) socket.send(JSON.stringify(frame));
  });
  socket.addEventListener("message", (event) => answered.push(String(event.data)));
  await Promise.race([over, Bun.sleep(700)]);
  socket.close();
  await over;
}

async function inUse(): Promise<void> {
  const good = { authorization: `Bearer ${SECRETS.apiKey}`, "content-type": "application/json" };
  await ask("POST", "/api/publish", good, '{"channel":"news","data":1}');
  await ask(
    "POST",
    "/api/publish",
    { ...good, authorization: `Bearer ${SECRETS.shopKey}` },
    '{"channel":"news","data":1}',
  );
  await ask(
    "POST",
    "/api/publish",
    { ...good, authorization: `Bearer ${BROUGHT.wrongKey}` },
    '{"channel":"news","data":1}',
  );
  await ask("POST", "/api/publish", { ...good, authorization: `Basic ${BROUGHT.wrongKey}` }, "{}");
  // In a place where it does not belong.
  await ask("GET", `/api/stats?apiKey=${SECRETS.apiKey}`, good);
  await ask("GET", `/api/channels?token=${BROUGHT.wrongKey}`);
  await ask("POST", "/api/publish", good, `{"channel":"news","data":`);
  await ask("POST", "/api/publish", good, `{"channel":"news","dat":1}`);
  for (const path of [
    "/api/stats",
    "/api/sessions",
    "/api/users",
    "/api/channels",
    "/api/openapi.json",
    "/healthz",
    "/readyz",
    "/nothing",
  ])
    await ask("GET", path, good);
}

async function badlyUsed(): Promise<void> {
  const good = await signToken({ sub: "bob", channels: ["news"] }, SECRETS.tokenSecret);
  const listed = await signToken({ sub: "eve", allow: { publish: ["*"] } }, SECRETS.listedSecret);
  const stranger = await signToken({ sub: "bob" }, BROUGHT.wrongSecret);
  const expired = await signToken({ sub: "bob", exp: 1 }, SECRETS.tokenSecret);
  tokens.push(good, listed, stranger, expired);
  for (const token of tokens) {
    await speak(`/ws?token=${token}`, [{ type: "ping", id: 1 }]);
    await speak("/ws", [
      { type: "connect", id: 1, token },
      { type: "refresh", id: 2, token },
      { type: "subscribe", id: 3, channel: "x", token },
    ]);
    await speak("/ws", [{ type: "connect", id: 1 }], { "sec-websocket-protocol": `longwire, token.${token}` });
    await speak("/ws", [{ type: "connect", id: 1 }], {
      authorization: `Bearer ${token}`,
      cookie: `login=${token}; sid=${BROUGHT.cookie}`,
    });
    await ask("GET", `/poll?channels=news&wait=0&token=${token}`);
    await ask("GET", `/sse/news?token=${token}&frames=x`);
    await ask("GET", "/poll?channels=news&wait=0", { authorization: `Bearer ${token}` });
    await ask("POST", `/send?token=${token}`, {}, '{"type":"publish","channel":"news","data":1,"id":1}');
    await ask("POST", `/sse?token=${token}`);
    await ask("GET", `/api/stats?token=${token}`);
  }
  await speak(`/ws?token=${good}`, [
    { type: "subscribe", id: 1, channel: "asked:room", token: BROUGHT.wrongKey },
    { type: "publish", id: 2, channel: "asked:room", data: BROUGHT.cookie },
  ]);
}

/** What is no TLS, and what is no HTTP within it. */
async function garbage(): Promise<void> {
  for (const to of [port, tcpPort]) {
    const socket = await Bun.connect({
      hostname: "127.0.0.1",
      port: to,
      socket: { data: (_, bytes) => void answered.push(bytes.toString()) },
    });
    socket.write(`GET /?token=${tokens[0]} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await Bun.sleep(200);
    socket.end();
  }
}

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
  const { stdout, stderr } = Bun.spawnSync([process.execPath, MAIN, ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"], ...env },
  });
  return `${stdout.toString()}${stderr.toString()}`;
}

function expectNothingOf(where: string, text: string, secrets: Readonly<Record<string, string>>): void {
  for (const [name, secret] of Object.entries(secrets)) {
    // The first half would do for a guess.
    const at = text.indexOf(secret.slice(0, Math.ceil(secret.length * 0.75)));
    const shown = at < 0 ? "nowhere" : text.slice(Math.max(0, at - 200), at + 100);
    expect([where, name, shown]).toEqual([where, name, "nowhere"]);
  }
}

/** Tokens begin alike: what makes them one is the end. */
const signatures = (): Record<string, string> =>
  Object.fromEntries(tokens.map((token, at) => [`token ${at}`, token.slice(token.lastIndexOf(".") + 1)]));

test(
  "[ST-8] a server in use, used badly, reloaded with a wrong file and stopped says no secret, and nobody is told one",
  async () => {
    await inUse();
    await badlyUsed();
    await garbage();
    // A reload that takes something over, and ones that do not.
    writeConfig({ logLevel: "debug", tokenSecret: `${SECRETS.tokenSecret}-next` });
    server.kill("SIGHUP");
    await until("it has reloaded", () => output.includes('"reloaded"'));
    writeConfig({ apiKey: [SECRETS.apiKey], tokenSecret: { a: SECRETS.tokenSecret }, hookSecret: "short" });
    server.kill("SIGHUP");
    await until("it has not", () => output.includes('"not reloaded"'));
    writeFileSync(join(folder, "longwire.json"), `{"apiKey": "${SECRETS.apiKey}`);
    server.kill("SIGHUP");
    await until("nor this", () => output.split('"not reloaded"').length > 2);
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);

    // So that an empty log does not count as a good one.
    for (const event of ["session opened", "connection closed", "hook failed", "goodbye", "stopped"])
      expect(output).toContain(`"${event}"`);
    const keyLines = readFileSync(join(folder, "tls.key"), "utf8")
      .split("\n")
      .filter((line) => line.length > 40);
    const all = { ...SECRETS, ...BROUGHT, ...signatures(), tlsKey: keyLines[0] ?? "" };
    expectNothingOf("log", output, all);
    expectNothingOf("answers", answered.join("\n"), all);
    expect(output).not.toMatch(/PRIVATE KEY/);
  },
  WAIT_MS,
);

test("[FR-16] no answer shows where our code is", () => {
  expect(answered.length).toBeGreaterThan(100);
  for (const text of answered)
    expect(text).not.toMatch(/\bat [\w$.<>]+ \(|\.[mc]?[jt]s:\d|node_modules|packages\/server/);
});

test("[ST-8] the configuration is printed and checked without its secrets", () => {
  writeConfig({});
  const printed = run(["config", "print", "--config", "longwire.json"]);
  expect(printed).toContain("hookSecret");
  expectNothingOf("config print", printed, SECRETS);
  expectNothingOf("config check", run(["config", "check", "--config", "longwire.json"]), SECRETS);
});

/** Secrets in configurations that are wrong in ways that happen. */
const WRONG: Readonly<Record<string, string>> = {
  "toml: a quote that is missing": `apiKey = "${SECRETS.apiKey}\nport = 1\n`,
  "toml: a word too many": `apiKey = "${SECRETS.apiKey}" x\n`,
  "yaml: a bracket that is missing": `apiKey: [${SECRETS.apiKey}\nport: 1\n`,
  "yaml: a quote that is missing": `apiKey: "${SECRETS.apiKey}\nport: 1\n`,
  "json: a comma that is missing": `{"apiKey": "${SECRETS.apiKey}" "port": 1}`,
  "json: a list": `{"apiKey": ["${SECRETS.apiKey}"]}`,
  "json: another spelling": `{"apikey": "${SECRETS.apiKey}"}`,
  "json: keys without names": `{"apiKeys": ["${SECRETS.apiKey}"]}`,
  "json: an object of keys": `{"apiKeys": {"a": "${SECRETS.apiKey}"}}`,
  "json: a field that is unknown": `{"tokenKeys": [{"algorithm": "HS256", "key": "${SECRETS.apiKey}"}]}`,
  "json: in an address": `{"hookUrl": "http://us:${SECRETS.apiKey}@backend/"}`,
  "json: an address of keys": `{"jwksUrl": "http://us:${SECRETS.apiKey}@backend/"}`,
};

for (const [name, text] of Object.entries(WRONG)) {
  test(`[ST-8] a wrong file is refused without its secrets: ${name}`, () => {
    const file = `wrong.${name.slice(0, 4)}`;
    writeFileSync(join(folder, file), text);
    const said = run(["config", "check", "--config", file]);
    expect(said).toContain("fault");
    expectNothingOf(name, said, SECRETS);
  });
}

test("[ST-8] so are flags and variables", () => {
  for (const args of [
    [`--apikey=${SECRETS.apiKey}`],
    [`--api-keys=${SECRETS.apiKey}`],
    ["--tokensecret", SECRETS.apiKey],
    [`--token-keys=[{"secret":"${SECRETS.apiKey}"`],
  ]) {
    const said = run(["config", "check", ...args]);
    expect(said).toContain("fault");
    expectNothingOf(String(args), said, SECRETS);
  }
  for (const name of ["LONGWIRE_APIKEY", "LONGWIRE_API_KEYS", "LONGWIRE_TOKEN_KEYS"]) {
    const said = run(["config", "check"], { [name]: SECRETS.apiKey });
    expect(said).toContain("fault");
    expectNothingOf(name, said, SECRETS);
  }
  expectNothingOf(
    "publish",
    run(["publish", `--api-key=${SECRETS.apiKey}`, "--url=http://127.0.0.1:1", "a", "b"]),
    SECRETS,
  );
});
