/**
 * docs/tokens.md says what is true: its configurations, keys and lines are taken from it and run, with PHP, openssl, curl and `ws` on
 * Node.js; and an identity provider of this test's own.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { API_KEY, TOKEN_SECRET } from "longwire/test/server";
import { type ServerProcess, spawnServer } from "longwire/test/server-process";
import { connectClient } from "longwire/test/ws-client";
import { bareCode, readCodeBlocks } from "./support/code-blocks.ts";
import { startNpmWs } from "./support/npm-ws.ts";

const folder = mkdtempSync(join(tmpdir(), "longwire-tokens-"));
const blocks = await readCodeBlocks("docs/tokens.md");

let server: ServerProcess;

/** The one block of this language that holds these words, with this run's addresses and files. */
function take(language: string, words: string): string {
  const found = blocks.filter((block) => block.language === language && block.code.includes(words));
  expect([words, found.length]).toEqual([words, 1]);
  return (found[0]?.code ?? "")
    .replaceAll("127.0.0.1:8080", new URL(server?.url ?? "http://127.0.0.1:8080").host)
    .replaceAll('"login.pem"', JSON.stringify(join(folder, "login.pem")));
}

/** Runs lines of a shell; resolves to what they print. */
async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd: folder,
    env: { ...process.env, LONGWIRE_API_KEY: API_KEY, LONGWIRE_TOKEN_SECRET: TOKEN_SECRET, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${error}`);
  return out;
}

const shell = (lines: string, env: Readonly<Record<string, string>> = {}): Promise<string> =>
  run(["sh", "-e", "-c", lines.replaceAll("curl ", "curl --silent --show-error ")], env);

/** A token as the page's backend makes it. */
async function phpToken(): Promise<string> {
  writeFileSync(join(folder, "token.php"), take("php", "hash_hmac"));
  return (await run(["php", "token.php"])).trim();
}

async function userOf(token: string): Promise<string | number | undefined> {
  const client = await connectClient(server.url, { connect: false });
  const answer = await client.ask({ type: "connect", token });
  client.terminate();
  return answer.type === "error" ? answer.code : (answer as { user?: string }).user;
}

const userIn = (answer: string): string | undefined =>
  (JSON.parse(answer) as { frames: { type: string; user?: string }[] }).frames.find(({ type }) => type === "connected")
    ?.user;

beforeAll(async () => {
  await shell(take("sh", "openssl genpkey"));
  writeFileSync(join(folder, "longwire.toml"), `${take("toml", "tokenCookie")}\n${take("toml", "HS512")}`);
  server = await spawnServer({ config: join(folder, "longwire.toml") });
});

afterAll(async () => {
  await server?.remove();
  rmSync(folder, { recursive: true, force: true });
});

describe("[CO-16] the keys of the page", () => {
  test("PHP signs with the one secret", async () => {
    expect(await userOf(await phpToken())).toBe("bob");
  });

  test("the second secret and the key pair that openssl made are good by their names", async () => {
    const secret = /secret = "(.*)"/.exec(take("toml", "HS512"))?.[1] ?? "";
    const bySecret = new SignJWT({ sub: "bob" }).setProtectedHeader({ alg: "HS512", kid: "2026" });
    expect(await userOf(await bySecret.sign(new TextEncoder().encode(secret)))).toBe("bob");
    const key = createPrivateKey(readFileSync(join(folder, "private.pem")));
    const byPair = new SignJWT({ sub: "bob" }).setProtectedHeader({ alg: "EdDSA", kid: "login" });
    expect(await userOf(await byPair.sign(key))).toBe("bob");
  });

  test("a private key in place of the public one keeps the server from starting, with words and without the key", async () => {
    const config = join(folder, "wrong.toml");
    writeFileSync(config, take("toml", "HS512").replace("login.pem", "private.pem"));
    const failure = await spawnServer({ config }).catch(String);
    expect(failure).toContain("tokenKeys[1].publicKeyFile: this is a private key");
    expect(failure).not.toContain("BEGIN");
  });
});

describe("[CO-19] the places of the page", () => {
  test("curl with a header", async () => {
    const answer = await shell(take("sh", '-H "Authorization: Bearer $TOKEN"'), { TOKEN: await phpToken() });
    expect(userIn(answer)).toBe("bob");
  });

  test("[CO-20] curl with a cookie: for a page that is listed, and for no other", async () => {
    const lines = take("sh", "-b ");
    const TOKEN = await phpToken();
    expect(userIn(await shell(lines, { TOKEN }))).toBe("bob");
    const elsewhere = lines.replace('-H "Origin: https://www.example.com"', "");
    expect(elsewhere).not.toBe(lines);
    expect(userIn(await shell(elsewhere, { TOKEN }))).toBeUndefined();
  });

  test("[CO-21] a page's own WebSocket with a subprotocol", async () => {
    const script = `const token = ${JSON.stringify(await phpToken())};\n${take("js", "new WebSocket")}
      setTimeout(() => process.exit(), 2000).unref();
      socket.addEventListener("message", () => socket.close());`;
    writeFileSync(join(folder, "page.js"), script);
    expect(await run([process.execPath, "page.js"])).toContain("bob");
  });

  test("[CO-21] `ws` on Node.js with subprotocols is told `longwire`, whatever stands first", async () => {
    const token = await phpToken();
    for (const protocols of [
      ["longwire", `token.${token}`],
      [`token.${Buffer.from(token).toString("base64url")}`, "longwire"],
    ]) {
      const client = await startNpmWs(`${server.url}/ws`, { protocols });
      expect(client.protocol).toBe("longwire");
      const [greeting] = await client.heard(1);
      expect(JSON.parse(greeting?.text ?? "")).toMatchObject({ type: "connected", user: "bob" });
      await client.close();
    }
    const plain = await startNpmWs(`${server.url}/ws`, { protocols: ["longwire"] });
    expect(plain.protocol).toBe("longwire");
    await plain.close();
  });

  test("[CO-19] `ws` on Node.js with a header", async () => {
    const headers = { authorization: `Bearer ${await phpToken()}` };
    const client = await startNpmWs(`${server.url}/ws?channels=news`, { headers });
    const [greeting] = await client.heard(1);
    expect(JSON.parse(greeting?.text ?? "")).toMatchObject({ type: "connected", user: "bob" });
    await client.close();
  });
});

test("[CO-17] [CO-18] an identity provider: its keys, for our audience, of that issuer", async () => {
  const key = createPrivateKey(readFileSync(join(folder, "private.pem")));
  const jwk = { ...createPublicKey(key).export({ format: "jwk" }), kid: "one", use: "sig" };
  const provider = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => Response.json({ keys: [jwk] }) });
  const toml = take("toml", "jwksUrl");
  const issuer = /tokenIssuer = "(.*)"/.exec(toml)?.[1] ?? "";
  const config = join(folder, "provider.toml");
  writeFileSync(config, toml.replace(/jwksUrl = ".*"/, `jwksUrl = "http://127.0.0.1:${provider.port}/certs"`));
  const trusting = await spawnServer({ config, "token-secret": "" });
  const sign = (claims: Readonly<Record<string, unknown>>): Promise<string> =>
    new SignJWT({ sub: "bob", ...claims }).setProtectedHeader({ alg: "EdDSA", kid: "one" }).sign(key);
  const poll = async (token: string): Promise<number> =>
    (await fetch(`${trusting.url}/poll?channels=a&wait=0&token=${token}`)).status;
  expect(await poll(await sign({ aud: "chat", iss: issuer }))).toBe(200);
  expect(await poll(await sign({ aud: "billing", iss: issuer }))).toBe(401);
  expect(await poll(await sign({ aud: "chat", iss: "https://elsewhere.example" }))).toBe(401);
  await provider.stop(true);
  expect(await poll(await sign({ aud: "chat", iss: issuer }))).toBe(200);
  await trusting.remove();
});

test("[CO-24] the page's line throws bob out, and his tokens with him", async () => {
  const token = await phpToken();
  const session = await connectClient(server.url, { token });
  // `iat` has whole seconds: what is made in this one counts as old, and what was made before it for certain is.
  await Bun.sleep(1100);
  expect(JSON.parse(await shell(take("sh", "revokeSeconds")))).toEqual({ sessions: 1 });
  expect((await session.closed).code).toBe(4102);
  expect(await userOf(token)).toBe(300);
  await Bun.sleep(1100);
  expect(await userOf(await phpToken())).toBe("bob");
  const { output } = server;
  expect(output()).not.toContain(token);
});

test("docs/zh-CN/tokens.md holds the same code", async () => {
  expect((await readCodeBlocks("docs/zh-CN/tokens.md")).map(bareCode)).toEqual(blocks.map(bareCode));
});
