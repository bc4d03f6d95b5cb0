/** What the configured secrets permit, row by row. A key that the server makes lies on the disk, so this is no unit test. */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartupError } from "../base/failures.ts";
import { loadConfig } from "../config/load.ts";
import { isLoopback, type Posture, postureOf } from "./posture.ts";

const root = mkdtempSync(join(tmpdir(), "longwire-posture-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const KEY = "--api-key=a-key-of-the-test";
const KEYS = '--api-keys=[{"name":"reader","key":"a-key-of-the-test","scopes":["read"]}]';
const SECRET = "--token-secret=a-secret-of-thirty-two-characters";

let folders = 0;

function posture(argv: readonly string[], dataDir = join(root, String(++folders))): Posture {
  return postureOf(loadConfig({ argv: [`--data-dir=${dataDir}`, ...argv], env: {}, cwd: root }).config);
}

function refusal(argv: readonly string[], dataDir?: string): StartupError {
  try {
    posture(argv, dataDir);
  } catch (error) {
    if (error instanceof StartupError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

const open = { subscribe: "everybody", publish: "token", presence: "everybody", history: "everybody" } as const;
const closed = { subscribe: "signed-in", publish: "token", presence: "signed-in", history: "signed-in" } as const;

describe("without any secret", () => {
  test("[NS-10] [NS-11] [NS-12] this machine alone is served, reading is open, the demo is on", () => {
    for (const argv of [[], ["--host=127.0.0.1"], ["--host=localhost"], ["--host=::1"], ["--host=127.9.9.9"]]) {
      expect(posture(argv)).toMatchObject({ loopback: true, access: open, demo: true });
    }
    expect(posture([]).host).toBe("127.0.0.1");
    expect(posture(["--demo=false"]).demo).toBe(false);
  });

  test("[NS-11] [ST-3] another host is refused, with the reason and what to do", () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.5", "gateway.example", "127.0.0.1.evil.example", "127.1"]) {
      const { message, advice } = refusal([`--host=${host}`]);
      expect(message).toContain(host);
      expect(message).toStartWith("host: ");
      expect(advice).toContain("LONGWIRE_API_KEY");
      expect(advice).toContain("LONGWIRE_TOKEN_SECRET");
    }
  });

  test("[ST-5] a key with every scope is made, kept for its owner alone, and found again", () => {
    const dataDir = join(root, "kept");
    const made = posture([], dataDir);
    const [key] = made.keys;
    expect(made.keys).toHaveLength(1);
    expect(key?.scopes).toEqual(["publish", "read", "manage"]);
    expect(key?.key.length).toBeGreaterThanOrEqual(20);
    const file = made.madeKeyFile ?? "";
    expect(readFileSync(file, "utf8").trim()).toBe(key?.key as string);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(posture([], dataDir).keys).toEqual(made.keys);
    expect(posture([]).keys[0]?.key).not.toBe(key?.key as string);
  });

  test("[ST-3] a key file that cannot be used is told, and left as it is", () => {
    const empty = join(root, "empty");
    mkdirSync(empty);
    writeFileSync(join(empty, "api-key"), "\n");
    expect(refusal([], empty).message).toContain("holds no API key");
    expect(readFileSync(join(empty, "api-key"), "utf8")).toBe("\n");
    const folder = join(root, "folder");
    mkdirSync(join(folder, "api-key"), { recursive: true });
    expect(refusal([], folder).message).toContain("dataDir: ");
    const file = join(root, "file");
    writeFileSync(file, "not a folder");
    expect(refusal([], file).message).toContain(file);
    expect(readFileSync(file, "utf8")).toBe("not a folder");
    if (process.getuid?.() === 0) return; // Root may write anywhere.
    const locked = join(root, "locked");
    mkdirSync(locked);
    chmodSync(locked, 0o500);
    expect(refusal([], locked).advice).toContain("--data-dir");
  });
});

describe("with an API key only", () => {
  test("[NS-10] loopback by default, and open there", () => {
    for (const key of [KEY, KEYS]) {
      expect(posture([key])).toMatchObject({ host: "127.0.0.1", access: open, demo: false, madeKeyFile: undefined });
    }
  });

  test("[NS-10] [NS-11] any host if asked, and then only the signed-in read", () => {
    expect(posture([KEY, "--host=0.0.0.0"])).toMatchObject({ host: "0.0.0.0", loopback: false, access: closed });
  });
});

test("[NS-10] [NS-11] with a token secret only the API key is made, and only the signed-in read", () => {
  const secret = posture([SECRET]);
  expect(secret).toMatchObject({ host: "127.0.0.1", access: closed, demo: false });
  expect(secret.madeKeyFile).toBeString();
  expect(posture([SECRET, "--host=0.0.0.0"])).toMatchObject({ loopback: false, access: closed });
});

test("[NS-10] [NS-12] with both everybody is served, only the signed-in read, the demo is on if asked", () => {
  const both = posture([KEY, SECRET]);
  expect(both).toMatchObject({ host: "0.0.0.0", loopback: false, access: closed, demo: false, madeKeyFile: undefined });
  expect(both.keys).toEqual([{ name: "main", key: "a-key-of-the-test", scopes: ["publish", "read", "manage"] }]);
  expect(posture([KEY, SECRET, "--demo"]).demo).toBe(true);
  expect(posture([KEY, SECRET, "--host=127.0.0.1"])).toMatchObject({ loopback: true, access: closed });
  expect(posture([KEYS, SECRET]).keys.map(({ name }) => name)).toEqual(["reader"]);
});

test("[NS-11] what counts as loopback", () => {
  for (const host of ["127.0.0.1", "127.255.255.254", "localhost", "::1", "[::1]"]) expect(isLoopback(host)).toBe(true);
  for (const host of ["0.0.0.0", "::", "", "1127.0.0.1", "127.0.0.1.example", "localhost.example", "::ffff:127.0.0.1"])
    expect([host, isLoopback(host)]).toEqual([host, false]);
});
