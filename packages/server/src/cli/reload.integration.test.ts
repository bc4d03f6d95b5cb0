/** `kill -HUP`: a server in a process of its own, whose file is changed under it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificate } from "../../test/support/certificates.ts";
import { API_KEY, type Flags, TOKEN_SECRET } from "../../test/support/server.ts";
import { type ServerProcess, spawnServer } from "../../test/support/server-process.ts";
import { connectClient } from "../../test/support/ws-client.ts";

const NEW_KEY = "another-key-of-some-length";
const NEW_SECRET = "another-secret-of-thirty-two-bytes";

let folder = "";
let server: ServerProcess;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "longwire-reload-"));
});
afterEach(async () => {
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
});

const write = (lines: readonly string[]): void => writeFileSync(join(folder, "longwire.toml"), lines.join("\n"));

const BASE = ['apiKey = "test-api-key"', `tokenSecret = "${TOKEN_SECRET}"`, 'tcpPort = "off"', 'engine = "memory"'];

/** What the file says must not be said by a flag, which would win. */
function spawn(flags: Flags = {}): Promise<ServerProcess> {
  const left = { "api-key": "", "token-secret": "", "tcp-port": "", engine: "", "channels-subscribe": "" };
  const more = { "channels-presence": "", "channels-history": "", "log-level": "", "publishes-per-second": "" };
  return spawnServer({ ...left, ...more, ...flags, config: join(folder, "longwire.toml") });
}

/** Sends the signal and waits for the line that follows it. */
async function reload(event: "reloaded" | "not reloaded"): Promise<Record<string, unknown>> {
  const linesOf = (): string[] =>
    server
      .output()
      .split("\n")
      .filter((line) => /"msg":"(not )?reloaded"/.test(line));
  const before = linesOf().length;
  server.kill("SIGHUP");
  for (let round = 0; round < 500; round++) {
    const line = linesOf()[before];
    if (line !== undefined) {
      const fields = JSON.parse(line) as Record<string, unknown>;
      expect(fields["msg"]).toBe(event);
      return fields;
    }
    await Bun.sleep(10);
  }
  throw new Error(`nothing was reloaded: ${server.output()}`);
}

async function statusWith(key: string): Promise<number> {
  return (await fetch(`${server.url}/api/stats`, { headers: { authorization: `Bearer ${key}` } })).status;
}

async function pageStatus(origin: string): Promise<number> {
  return (await fetch(`${server.url}/sse?channel=open:a`, { method: "OPTIONS", headers: { origin } })).status;
}

test("[TL-6] keys, rights, limits, origins, log level: who is connected stays, and is under the new rules", async () => {
  write([...BASE, "[namespaces.open]", 'subscribe = "everybody"']);
  server = await spawn();
  const token = await server.token({ sub: "bob", allow: { subscribe: ["*"], publish: ["open:*"] } });
  const bob = await connectClient(server.url, { token });
  await bob.request({ type: "subscribe", channel: "open:a" });
  const origin = "https://page.example";
  expect([await statusWith(NEW_KEY), await pageStatus(origin)]).toEqual([401, 403]);

  write([
    `apiKey = "${NEW_KEY}"`,
    `tokenSecret = "${NEW_SECRET}"`,
    'tcpPort = "off"',
    'engine = "sqlite"',

    `origins = ["${origin}"]`,
    'logLevel = "debug"',
    "subscriptionsMax = 1",
    "publishesPerSecond = 1",
    "burstSeconds = 1",

    "[namespaces.open]",
    'subscribe = "everybody"',
    'publish = "nobody"',
    "[namespaces.loud]",
    'publish = "everybody"',
  ]);
  const said = await reload("reloaded");
  expect(said["changed"]).toEqual(
    expect.arrayContaining([
      "apiKey",
      "tokenSecret",
      "origins",
      "logLevel",
      "subscriptionsMax",
      "namespaces.open.publish",
    ]),
  );
  expect(said["restart"]).toEqual(["engine"]);
  expect([await statusWith(API_KEY), await statusWith(NEW_KEY), await pageStatus(origin)]).toEqual([401, 200, 204]);
  expect(await bob.ask({ type: "publish", channel: "open:a", data: 1 })).toMatchObject({
    type: "error",
    code: 109,
  });
  expect(await bob.ask({ type: "subscribe", channel: "open:b" })).toMatchObject({ type: "error", code: 112 });
  const stranger = await connectClient(server.url, {});
  expect(await stranger.ask({ type: "publish", channel: "loud:a", data: 1 })).toMatchObject({ type: "published" });
  expect(await stranger.ask({ type: "publish", channel: "loud:a", data: 1 })).toMatchObject({ code: 202 });
  expect(server.output()).toContain('"session opened"');
  expect(
    await connectClient(server.url, { token }).then(
      () => "in",
      () => "refused",
    ),
  ).toBe("refused");
  // Who was there still gets what comes.
  const publish = { channel: "open:a", data: "for bob" };
  const answer = await fetch(`${server.url}/api/publish`, {
    method: "POST",
    headers: { authorization: `Bearer ${NEW_KEY}`, "content-type": "application/json" },
    body: JSON.stringify(publish),
  });
  expect(answer.status).toBe(200);
  await bob.next((frame) => frame.type === "message" && frame.data === "for bob");
  for (const secret of [NEW_KEY, NEW_SECRET, API_KEY, TOKEN_SECRET]) expect(server.output()).not.toContain(secret);
});

test("[TL-8] a wrong file changes nothing and says why, with key path and line; a good one then is taken over", async () => {
  write(BASE);
  server = await spawn();
  const cases: [readonly string[], string][] = [
    [[...BASE, "subscriptionMax = 5"], "subscriptionMax (longwire.toml line 5): there is no such option"],
    [[...BASE, `apiKeys = [{ name = "a", key = "${NEW_KEY}", scopes = ["everything"] }]`], "apiKeys[0].scopes"],
    [["apiKey = ", ...BASE.slice(1)], "is not good TOML"],
    [[...BASE, 'tokenKeys = [{ algorithm = "RS256", publicKeyFile = "missing.pem" }]'], "tokenKeys[0].publicKeyFile"],
    [
      [...BASE, 'host = "0.0.0.0"', "queueBytesMax = 20000", "messageBytesMax = 9999", "publicationBytesMax = 9999"],
      "messageBytesMax (as it runs)",
    ],
  ];
  for (const [lines, words] of cases) {
    write([...lines, ""]);
    const said = await reload("not reloaded");
    expect(said["reason"]).toContain(words);
    expect(JSON.stringify(said)).not.toContain(NEW_KEY);
    expect([await statusWith(API_KEY), await statusWith(NEW_KEY)]).toEqual([200, 401]);
  }
  write([`apiKey = "${NEW_KEY}"`, ...BASE.slice(1)]);
  await reload("reloaded");
  expect([await statusWith(API_KEY), await statusWith(NEW_KEY)]).toEqual([401, 200]);
});

test("[TL-5] a renewed certificate by signal alone: the configuration is the same", async () => {
  const { cert, key } = makeCertificate(folder, "live");
  write(BASE);
  server = await spawn({ "tls-cert": cert, "tls-key": key });
  makeCertificate(folder, "live");
  const said = await reload("reloaded");
  expect(said).toMatchObject({
    changed: [],
    restart: [],
    certificate: { names: expect.stringContaining("localhost") },
  });
  // Nothing has changed since: nothing is renewed.
  expect(await reload("reloaded")).not.toHaveProperty("certificate");
});

test("[ST-6] a terminal that is closed sends the same signal, and means a stop", async () => {
  write(BASE);
  server = await spawn();
  const { promise: listening, resolve } = Promise.withResolvers<void>();
  let text = "";
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "main.ts"), "serve", "--port=0", "--tcp-port=off", "--engine=memory"],
    {
      cwd: folder,
      env: { PATH: process.env["PATH"] },
      terminal: {
        data(_terminal, bytes) {
          text += Buffer.from(bytes).toString();
          if (text.includes("listening")) resolve();
        },
      },
    },
  );
  await listening;
  child.terminal?.close();
  expect(await child.exited).toBe(0);
});
