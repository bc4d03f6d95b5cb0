/** The SDK as a module in Node.js, Bun and Deno, each in a process of its own, against a gateway. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildModule } from "@longwire/client/build";
import { startServer, type TestServer } from "longwire/test/server";
import { ROOT } from "./support/code-blocks.ts";

const folder = mkdtempSync(join(tmpdir(), "longwire-runtimes-"));
const sdk = join(folder, "longwire.mjs");
const child = join(ROOT, "e2e/support/sdk-child.mjs");
/** The package brings a binary for this machine; what its install script would do is not needed. */
const denos = join(ROOT, "node_modules/@deno");
const deno = join(denos, readdirSync(denos)[0] ?? "", "deno");
const ws = pathToFileURL(join(ROOT, "node_modules/ws/wrapper.mjs")).href;

let server: TestServer;

beforeAll(async () => {
  writeFileSync(sdk, await buildModule());
  server = await startServer({ demo: "true" });
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await server.stop();
});

async function run(command: readonly string[], transports: string, ...more: readonly string[]): Promise<string> {
  const args = [...command, child, pathToFileURL(sdk).href, server.url, transports, ...more];
  const { stdout, stderr, exited } = Bun.spawn(args, {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1", DENO_DIR: join(folder, "deno") },
  });
  const [out, errors] = await Promise.all([new Response(stdout).text(), new Response(stderr).text()]);
  expect([await exited, errors]).toEqual([0, ""]);
  return (JSON.parse(out) as { transport: string }).transport;
}

const RUNTIMES = {
  "Node.js": ["node"],
  Bun: [process.execPath],
  Deno: [deno, "run", "--allow-net", "--allow-read", "--allow-env"],
} as const;

for (const [runtime, command] of Object.entries(RUNTIMES)) {
  test(`${runtime}: over what it has, and over each that it has`, async () => {
    const best = await run(command, "all");
    // Before 22, Node.js has no WebSocket of its own.
    expect(["websocket", "stream"]).toContain(best);
    if (runtime !== "Node.js") expect(best).toBe("websocket");
    for (const transport of ["stream", "poll"]) expect(await run(command, transport)).toBe(transport);
  }, 60_000);
}

test("Node.js with the sockets of `ws`", async () => {
  expect(await run(["node"], "all", ws)).toBe("websocket");
}, 60_000);
