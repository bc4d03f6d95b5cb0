/** docs/sdk.md says what is true: its examples, one after the other in one file, are type-checked and run against a server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ServerProcess, spawnServer } from "longwire/test/server-process";
import { signToken } from "longwire/test/server";
import { type CodeBlock, readCodeBlocks, ROOT } from "./support/code-blocks.ts";

/** Within the repository, so that packages are found by name; the name is one that no search for tests takes. */
const folder = mkdtempSync(join(ROOT, "e2e/.sdk-docs-"));
const blocks = await readCodeBlocks("docs/sdk.md");
const backend = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  development: false,
  fetch: async () => new Response(await signToken({ sub: "bob" })),
});

let server: ServerProcess;

beforeAll(async () => {
  server = await spawnServer({ demo: "true" });
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await backend.stop(true);
  await server.remove();
});

async function bun(...args: readonly string[]): Promise<{ output: string; status: number }> {
  const child = Bun.spawn([process.execPath, ...args], { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { output: out + error, status: await child.exited };
}

function writeExamples(examples: readonly CodeBlock[]): string {
  const file = join(folder, "examples.ts");
  const code = examples
    .map((block) => block.code)
    .join("\n")
    .replaceAll("127.0.0.1:8080", new URL(server.url).host)
    .replaceAll("127.0.0.1:8000", backend.url.host);
  // Whatever the page forgot to use or to close must not fail or keep it.
  writeFileSync(
    file,
    `${code}\nexport type Used = Message<unknown>;\npersistent.disconnect();\ntuned.disconnect();\nconsole.log("done");\nprocess.exit(0);\n`,
  );
  return file;
}

test("every example is good TypeScript", async () => {
  expect(blocks.length).toBeGreaterThan(15);
  expect(blocks.map(({ language }) => language)).toEqual(blocks.map(() => "ts"));
  const { output, status } = await bun("check", "--no-script", "-p", writeProject());
  expect([output, status]).toEqual([output, 0]);
});

/** A project of the examples alone, with the settings of the repository. */
function writeProject(): string {
  writeExamples(blocks);
  const file = join(folder, "tsconfig.json");
  writeFileSync(file, JSON.stringify({ extends: "../../tsconfig.json", include: ["examples.ts"], exclude: [] }));
  return file;
}

test("the examples run, in order", async () => {
  const { output, status } = await bun("run", writeExamples(blocks));
  expect([output, status]).toEqual([output, 0]);
  // Own messages, what was refused and why, no application behind `call`, and the end.
  for (const line of ["Ann hello", "1 people, 1 sessions", "refused 302 refresh", "113", "done"]) {
    expect(output).toContain(line);
  }
});
