import { describe, expect, test } from "bun:test";
import { loadConfig, maskSecrets } from "./load.ts";
import type { Config } from "./schema.ts";
import { ConfigError } from "./setting.ts";

const SECRET = "0123456789abcdef".repeat(4);

function load(argv: readonly string[]): Config {
  return loadConfig({ argv, env: {}, cwd: "/nowhere" }).config;
}

function faultsOf(argv: readonly string[]): string[] {
  try {
    load(argv);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

const keys = (...entries: readonly unknown[]): string[] => ["--token-keys", JSON.stringify(entries)];

describe("[CO-16] tokenKeys", () => {
  test("secrets, public keys as text or by file", () => {
    const entries = [
      { algorithm: "HS512", secret: SECRET, kid: "2026" },
      { algorithm: "ES256", publicKey: "-----BEGIN PUBLIC KEY-----" },
      { algorithm: "EdDSA", publicKeyFile: "key.pem" },
    ];
    expect(load(keys(...entries)).tokenKeys).toEqual(entries as typeof entries & Config["tokenKeys"]);
  });

  test.each([
    ["HS256", 31],
    ["HS384", 47],
    ["HS512", 63],
  ])("a secret for %s that is shorter than the hash is refused", (algorithm, length) => {
    const [fault] = faultsOf(keys({ algorithm, secret: SECRET.slice(0, length) }));
    expect(fault).toBe(
      `tokenKeys[0].secret: must be text of at least ${length + 1} bytes without white space or control characters; found ${length}`,
    );
    expect(faultsOf(keys({ algorithm, secret: SECRET.slice(0, length + 1) }))).toEqual([]);
  });

  test("every key has what its algorithm needs, and nothing else", () => {
    const pem = "-----BEGIN PUBLIC KEY-----";
    expect(faultsOf(keys({ algorithm: "HS256" }))).toEqual(["tokenKeys[0].secret: is missing: HS256 has one"]);
    expect(faultsOf(keys({ algorithm: "HS256", secret: SECRET, publicKey: pem }))).toEqual([
      "tokenKeys[0].publicKey: has no place here: HS256 has a secret",
    ]);
    expect(faultsOf(keys({ algorithm: "RS256", secret: SECRET }))).toEqual([
      "tokenKeys[0].secret: has no place here: this algorithm has a public key",
      "tokenKeys[0]: needs either publicKey (PEM text) or publicKeyFile",
    ]);
    expect(faultsOf(keys({ algorithm: "RS256", publicKey: pem, publicKeyFile: "a" }))).toEqual([
      "tokenKeys[0]: needs either publicKey (PEM text) or publicKeyFile",
    ]);
  });

  test("wrong words are told, and never a secret", () => {
    expect(faultsOf(keys({ secret: SECRET }))[0]).toContain("tokenKeys[0].algorithm: is missing");
    expect(faultsOf(keys({ algorithm: "none", secret: SECRET }))[0]).toContain('found "none"');
    expect(faultsOf(keys({ algorithm: "HS256", secert: SECRET }))[0]).toBe(
      "tokenKeys[0].secert: there is no such field; did you mean secret?",
    );
    for (const wrong of [SECRET, [SECRET], 7, null, { secret: [SECRET] }, { algorithm: SECRET.slice(0, 3) }]) {
      expect(faultsOf(keys(wrong)).join("\n")).not.toContain(SECRET);
    }
    expect(JSON.stringify(maskSecrets(load(keys({ algorithm: "HS256", secret: SECRET }))))).not.toContain(SECRET);
  });

  test("no two keys share a name", () => {
    const key = { algorithm: "HS256", secret: SECRET, kid: "a" };
    expect(faultsOf(keys(key, key))).toEqual(['tokenKeys[1].kid: "a" names another key too']);
  });
});

test("[CO-22] without anything to check tokens with, nobody could connect where everybody must bring one", () => {
  expect(faultsOf(["--anonymous=false"])).toEqual([
    "anonymous: is false, and there is nothing to check tokens with: nobody could connect",
  ]);
  expect(faultsOf(["--anonymous=false", "--jwks-url", "https://login.example/jwks"])).toEqual([]);
});

test("[CO-20] tokenCookie is the name of a cookie", () => {
  expect(load(["--token-cookie", "__Host-token"]).tokenCookie).toBe("__Host-token");
  for (const name of ["a b", "a=b", "a;b", '"a"']) {
    expect(faultsOf(["--token-cookie", name])[0]).toContain("must be the name of a cookie");
  }
});

test("[CO-17] jwksUrl is an address without a password", () => {
  expect(faultsOf(["--jwks-url", "ftp://login.example/jwks"])).toHaveLength(1);
  expect(faultsOf(["--jwks-url", "https://me:hunter2@login.example/jwks"])[0]).not.toContain("hunter2");
});
