/** The scripts behind `npm start` and `npm test`, on folders made for it. Nothing is installed here. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ROOT } from "./files.mjs";
import { findBun, missingPackage } from "./install.mjs";
import { countsOf } from "./run-tests.mjs";
import { furtherRuns, SUITES } from "./suites.mjs";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "longwire-scripts-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, content: unknown): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

/** Something that answers `--version` like a program would. */
function program(path: string, answer: string): string {
  const file = write(path, `#!/bin/sh\n${answer}\n`);
  chmodSync(file, 0o755);
  return file;
}

async function node(...args: readonly string[]) {
  const child = Bun.spawn(["node", ...args], { cwd: root, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, error] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { out, error, status: await child.exited };
}

/** A package-lock.json that wants `x` in this version. */
function lock(version: string) {
  return {
    packages: {
      "": { name: "root" },
      "packages/a": { version: "1.0.0" },
      "node_modules/x": { version },
      "node_modules/for-another-machine": { version: "1.0.0", optional: true },
    },
  };
}

/** Runs these test files as `npm test` would and returns the last line and the status. */
async function run(files: Readonly<Record<string, string>>, options: object = {}) {
  const paths = Object.entries(files).map(([name, body]) =>
    write(name, `import { expect, test } from "bun:test";\n${body}`),
  );
  const script = write(
    "run.mjs",
    `import { finish, runTests } from ${JSON.stringify(join(ROOT, "scripts/lib/run-tests.mjs"))};
    const files = ${JSON.stringify(paths)};
    finish([
      await runTests(${JSON.stringify(process.execPath)}, { name: "first", files, ...${JSON.stringify(options)} }),
      await runTests(${JSON.stringify(process.execPath)}, { name: "none", files: [] }),
    ]);`,
  );
  const { out, status } = await node(script);
  return { last: out.trimEnd().split("\n").at(-1), status };
}

describe("what is installed", () => {
  test("is compared with package-lock.json by version", () => {
    write("package-lock.json", lock("1.0.0"));
    expect(missingPackage(root)).toBe("x");
    write("node_modules/.package-lock.json", lock("1.0.0"));
    expect(missingPackage(root)).toBe("x");
    mkdirSync(join(root, "node_modules/x"));
    expect(missingPackage(root)).toBeUndefined();
    write("package-lock.json", lock("1.0.1"));
    expect(missingPackage(root)).toBe("x");
    write("node_modules/.package-lock.json", '{"packages":');
    expect(missingPackage(root)).toBe("x");
  });

  test("this repository has what it wants", () => {
    expect(missingPackage(ROOT)).toBeUndefined();
    expect(findBun(ROOT)).toBeDefined();
  });

  test("Bun is npm's link, or the binary that runs where install scripts were not allowed", () => {
    write("package.json", { devDependencies: { bun: "9.9.9" } });
    expect(findBun(root)).toBeUndefined();
    // What npm leaves when it does not run the install script: a program that only complains.
    program("node_modules/.bin/bun", "echo not installed >&2; exit 1");
    expect(findBun(root)).toBeUndefined();
    program("node_modules/@oven/bun-other-processor/bin/bun", "kill -ILL $$");
    const runs = program("node_modules/@oven/bun-this-processor/bin/bun", "echo 9.9.9");
    expect(findBun(root)).toBe(runs);
    program("node_modules/.bin/bun", "echo 9.9.8");
    expect(findBun(root)).toBe(runs);
    const link = program("node_modules/.bin/bun", "echo 9.9.9");
    expect(findBun(root)).toBe(link);
  });
});

describe("counts", () => {
  test("are the last that `bun test` says", () => {
    expect(countsOf("ok\n 7 pass\nx\n 12 pass\n 3 fail\n 40 expect() calls\n")).toEqual({ passed: 12, failed: 3 });
    expect(countsOf("Segmentation fault")).toEqual({ passed: 0, failed: 0 });
  });

  test("end with a line alone, and the exit code says whether all passed", async () => {
    expect(await run({ "a.test.ts": 'test("a", () => {}); test("b", () => {});' })).toEqual({
      last: "2 passed, 0 failed",
      status: 0,
    });
    expect(await run({ "a.test.ts": 'test("a", () => {}); test("b", () => expect(1).toBe(2));' })).toEqual({
      last: "1 passed, 1 failed",
      status: 1,
    });
  });

  test("a test that is left out counts for nothing", async () => {
    const files = { "a.test.ts": 'test("a", () => {}); test.skipIf(true)("b", () => {});' };
    expect(await run(files)).toEqual({ last: "1 passed, 0 failed", status: 0 });
  });

  test("a run without tests, one that crashes and one that takes too long are failures", async () => {
    expect(await run({})).toEqual({ last: "0 passed, 0 failed", status: 1 });
    expect(await run({ "a.test.ts": "process.exit(3);" })).toEqual({ last: "0 passed, 1 failed", status: 1 });
    const forever = { "a.test.ts": 'test("a", () => new Promise(() => setInterval(() => {}, 1000)), 60000);' };
    expect(await run(forever, { deadlineMs: 500 })).toEqual({ last: "0 passed, 1 failed", status: 1 });
  });
});

test("the launcher hands on signals and the exit code", async () => {
  const child = write(
    "child.mjs",
    'process.on("SIGTERM", () => process.exit(7)); setInterval(() => {}, 1000); process.stdout.write("up\\n");',
  );
  const launcher = write(
    "launcher.mjs",
    `import { become } from ${JSON.stringify(join(ROOT, "scripts/lib/child.mjs"))};
    become(process.execPath, [${JSON.stringify(child)}]);`,
  );
  const process_ = Bun.spawn(["node", launcher], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const reader = process_.stdout.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("up\n");
  process_.kill("SIGTERM");
  expect(await process_.exited).toBe(7);
});

const all = (): boolean => true;

describe("further runs", () => {
  test("are over files that are there, on workers and on nodes", () => {
    expect(furtherRuns(all, {}).map(({ env, files }) => [env, files])).toEqual([
      [{ WORKERS: "2" }, [...SUITES]],
      [{ ENGINE: "redis", NODES: "2" }, [...SUITES]],
    ]);
    expect(new Set(SUITES).size).toBe(SUITES.length);
  });

  test("take those that were asked for", () => {
    const files = furtherRuns((file) => file.includes("recovery"), {}).map((one) => one.files);
    const [recovery] = SUITES.filter((file) => file.includes("recovery"));
    expect(files).toEqual([[recovery ?? ""], [recovery ?? ""]]);
  });

  test("are none where the environment says on what everything runs", () => {
    expect(furtherRuns(all, { WORKERS: "3" })).toEqual([]);
    expect(furtherRuns(all, { ENGINE: "redis" })).toEqual([]);
  });
});
