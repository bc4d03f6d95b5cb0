/** Every algorithm, with keys made here, and what must not pass for one. */
import { describe, expect, test } from "bun:test";
import { createHmac, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { SignJWT } from "jose";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { makeSigner } from "../../test/support/tokens.ts";
import { ReplyError, StartupError } from "../base/failures.ts";
import type { TokenKeyOption } from "../config/token-key.ts";
import type { Authority } from "../ports/authority.ts";
import { type Algorithm, ASYMMETRIC_ALGORITHMS, HMAC_ALGORITHMS } from "./algorithms.ts";
import { configuredKeys } from "./configured-keys.ts";
import { jwtAuthority } from "./jwt.ts";

const clock = new FakeClock();
const ALGORITHMS: readonly Algorithm[] = [...HMAC_ALGORITHMS, ...ASYMMETRIC_ALGORITHMS];
const SIGNERS = ALGORITHMS.map((algorithm) => ({ algorithm, signer: makeSigner(algorithm) }));

function trusting(options: readonly TokenKeyOption[], more: { audience?: string; issuer?: string } = {}): Authority {
  return jwtAuthority({ keys: configuredKeys(undefined, options), clock, ...more });
}

/** The user, or the name of the refusal. */
async function userOf(authority: Authority, token: string): Promise<string | undefined> {
  try {
    return (await authority.identify(token)).user;
  } catch (error) {
    if (error instanceof ReplyError) return error.error;
    throw error;
  }
}

function pem(type: "rsa" | "ec" | "ed25519" | "x25519", options = {}): string {
  return generateKeyPairSync(type as "rsa", {
    modulusLength: 2048,
    ...options,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  }).publicKey;
}

/** What a promise is rejected with, as words. */
function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "it was not rejected",
    (error: unknown) => String(error),
  );
}

function segment(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

describe("[CO-16] an algorithm", () => {
  test.each(SIGNERS)("$algorithm: a token has one spelling of its signature", async ({ signer }) => {
    const authority = trusting([signer.option]);
    const token = await signer.sign({ sub: "bob" });
    const dot = token.lastIndexOf(".") + 1;
    const signature = token.slice(dot);
    const padded = Buffer.from(signature, "base64url").toString("base64");
    const others = [`${signature}=`, `${signature}!`, `!${signature}`, `${signature}\n`, `${padded}==`];
    for (const text of others) {
      expect([text, await userOf(authority, token.slice(0, dot) + text)]).toEqual([text, "badToken"]);
    }
    expect(await userOf(authority, token)).toBe("bob");
  });

  test.each(SIGNERS)(
    "$algorithm: its tokens are good for its key, and for no other key of the same kind",
    async ({ algorithm, signer }) => {
      const token = await signer.sign({ sub: "bob" });
      expect(await userOf(trusting([signer.option]), token)).toBe("bob");
      expect(await userOf(trusting([makeSigner(algorithm).option]), token)).toBe("badToken");
    },
  );

  test.each(SIGNERS)(
    "$algorithm: a token that was changed, cut, or signed with nothing is refused",
    async ({ signer }) => {
      const authority = trusting([signer.option]);
      const [header = "", payload = "", signature = ""] = (await signer.sign({ sub: "bob" })).split(".");
      for (const token of [
        `${header}.${segment({ sub: "alice" })}.${signature}`,
        `${header}.${payload}.${signature.slice(0, -4)}`,
        `${header}.${payload}.`,
        `${header}.${payload}.${"A".repeat(signature.length)}`,
      ]) {
        expect([token, await userOf(authority, token)]).toEqual([token, "badToken"]);
      }
      expect(await userOf(authority, `${header}.${payload}.${signature}`)).toBe("bob");
    },
  );

  test("is fixed by its key: with all others configured, none passes for another", async () => {
    for (const { algorithm, signer } of SIGNERS) {
      const others = SIGNERS.filter((other) => other.algorithm !== algorithm).map((other) => other.signer.option);
      expect([algorithm, await userOf(trusting(others), await signer.sign({ sub: "bob" }))]).toEqual([
        algorithm,
        "badToken",
      ]);
    }
  });

  test("of another hash with the very same RSA key is refused", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const pem = publicKey.export({ type: "spki", format: "pem" });
    const authority = trusting([{ algorithm: "RS256", publicKey: pem }]);
    for (const alg of ["RS384", "RS512", "PS256", "PS384", "PS512"]) {
      const token = await new SignJWT({ sub: "bob" }).setProtectedHeader({ alg }).sign(privateKey);
      expect([alg, await userOf(authority, token)]).toEqual([alg, "badToken"]);
    }
    const good = await new SignJWT({ sub: "bob" }).setProtectedHeader({ alg: "RS256" }).sign(privateKey);
    expect(await userOf(authority, good)).toBe("bob");
    // What the header says is signed, too: the signature of one hash does not pass under another's name.
    const signed = `${segment({ alg: "RS256" })}.${segment({ sub: "bob" })}`;
    const wrong = signBytes("sha512", Buffer.from(signed), privateKey).toString("base64url");
    expect(await userOf(authority, `${signed}.${wrong}`)).toBe("badToken");
    // And a good one does not pass under a header that says another algorithm.
    for (const alg of ["RS384", "PS256", "ES256", "HS256"]) {
      const other = `${segment({ alg })}.${segment({ sub: "bob" })}`;
      const signature = signBytes("sha256", Buffer.from(other), privateKey).toString("base64url");
      expect([alg, await userOf(authority, `${other}.${signature}`)]).toEqual([alg, "badToken"]);
    }
  });

  test("[RFC 8725] a public key is no secret: HMAC with its text, in every spelling, is refused", async () => {
    for (const { signer } of SIGNERS.filter(({ algorithm }) => !algorithm.startsWith("HS"))) {
      const { publicKey = "" } = signer.option;
      const authority = trusting([signer.option]);
      for (const [alg, hash] of [
        ["HS256", "sha256"],
        ["HS384", "sha384"],
        ["HS512", "sha512"],
      ] as const) {
        for (const key of [publicKey, publicKey.trim(), publicKey.replace(/-----.*-----|\n/g, "")]) {
          const signed = `${segment({ alg })}.${segment({ sub: "mallory" })}`;
          const token = `${signed}.${createHmac(hash, key).update(signed).digest("base64url")}`;
          expect(await userOf(authority, token)).toBe("badToken");
        }
      }
    }
  });

  test("`none`, unknown ones, `crit`, and keys that a token brings along are refused", async () => {
    const signer = makeSigner("ES256", "a");
    const authority = trusting([signer.option]);
    for (const alg of [
      "none",
      "NONE",
      "",
      "ES512",
      "ES256K",
      "Ed448",
      "RSA-OAEP",
      "__proto__",
      "constructor",
      1,
      null,
      undefined,
    ]) {
      const token = `${segment({ alg, kid: "a" })}.${segment({ sub: "bob" })}.`;
      expect([alg, await userOf(authority, token)]).toEqual([alg, "badToken"]);
    }
    const attacker = makeSigner("ES256", "a");
    for (const header of [
      { jwk: attacker.jwk },
      { jku: "https://attacker.example/jwks" },
      { x5u: "https://attacker.example/" },
    ]) {
      expect(await userOf(authority, await attacker.sign({ sub: "bob" }, header))).toBe("badToken");
    }
    const [, payload = "", signature = ""] = (await signer.sign({ sub: "bob" })).split(".");
    const critical = `${segment({ alg: "ES256", kid: "a", crit: ["exp"], exp: 1 })}.${payload}.${signature}`;
    expect(await userOf(authority, critical)).toBe("badToken");
  });
});

describe("[CO-16] `kid`", () => {
  test("picks among keys of one algorithm; without it all are tried, and a key without a name is tried for any", async () => {
    const first = makeSigner("EdDSA", "first");
    const second = makeSigner("EdDSA", "second");
    const nameless = makeSigner("EdDSA");
    const both = trusting([first.option, second.option]);
    expect(await userOf(both, await first.sign({ sub: "bob" }))).toBe("bob");
    expect(await userOf(both, await second.sign({ sub: "bob" }))).toBe("bob");
    expect(await userOf(both, await second.sign({ sub: "bob" }, { kid: undefined }))).toBe("bob");
    expect(await userOf(both, await second.sign({ sub: "bob" }, { kid: "first" }))).toBe("badToken");
    expect(await userOf(both, await second.sign({ sub: "bob" }, { kid: "third" }))).toBe("badToken");
    const all = trusting([first.option, nameless.option]);
    expect(await userOf(all, await nameless.sign({ sub: "bob" }, { kid: "whatever" }))).toBe("bob");
  });

  test("old and new secret side by side, and the one-line secret beside both", async () => {
    const old = makeSigner("HS256", "2025");
    const fresh = makeSigner("HS512", "2026");
    const keys = configuredKeys("a-secret-of-thirty-two-characters", [old.option, fresh.option]);
    const authority = jwtAuthority({ keys, clock });
    expect(await userOf(authority, await old.sign({ sub: "bob" }))).toBe("bob");
    expect(await userOf(authority, await fresh.sign({ sub: "bob" }))).toBe("bob");
    const plain = await new SignJWT({ sub: "bob" })
      .setProtectedHeader({ alg: "HS256" })
      .sign(new TextEncoder().encode("a-secret-of-thirty-two-characters"));
    expect(await userOf(authority, plain)).toBe("bob");
  });
});

describe("[CO-18] for whom and from whom", () => {
  const signer = makeSigner("ES256");
  const strict = trusting([signer.option], { audience: "longwire", issuer: "https://login.example" });

  test("both must fit, in tokens for one channel too", async () => {
    const good = { sub: "bob", aud: "longwire", iss: "https://login.example" };
    expect(await userOf(strict, await signer.sign(good))).toBe("bob");
    expect(await userOf(strict, await signer.sign({ ...good, aud: ["billing", "longwire"] }))).toBe("bob");
    for (const wrong of [
      { aud: "billing" },
      { aud: [] },
      { aud: undefined },
      { aud: { longwire: 1 } },
      { iss: "https://login.example/" },
      { iss: undefined },
      { iss: ["https://login.example"] },
    ]) {
      expect([wrong, await userOf(strict, await signer.sign({ ...good, ...wrong }))]).toEqual([wrong, "badToken"]);
    }
    const channel = await signer.sign({ channel: "a", iss: good.iss });
    expect(await failureOf(strict.admit(channel, "a", undefined))).toContain("aud");
    await strict.admit(await signer.sign({ ...good, channel: "a" }), "a", "bob");
  });

  test("where nothing is asked for, nothing is looked at", async () => {
    const lax = trusting([signer.option]);
    expect(await userOf(lax, await signer.sign({ sub: "bob", aud: 7, iss: "anybody" }))).toBe("bob");
  });
});

test("[CO-5] `nbf` may be a little ahead: clocks differ", async () => {
  const signer = makeSigner("ES256");
  const authority = trusting([signer.option]);
  const now = clock.now() / 1000;
  expect(await userOf(authority, await signer.sign({ sub: "bob", nbf: now + 4 }))).toBe("bob");
  expect(await userOf(authority, await signer.sign({ sub: "bob", nbf: now + 6 }))).toBe("badToken");
});

test("[CO-5] a token that was checked before is looked at again for its time, and for what it is for", async () => {
  const own = new FakeClock();
  const signer = makeSigner("RS256");
  const authority = jwtAuthority({ keys: configuredKeys(undefined, [signer.option]), clock: own });
  const token = await signer.sign({ sub: "bob", exp: own.now() / 1000 + 60 });
  const first = await authority.identify(token);
  expect(await authority.identify(token)).toBe(first);
  expect(await failureOf(authority.admit(token, "a", "bob"))).toContain("not for the channel");
  own.advance(60_000);
  expect(await userOf(authority, token)).toBe("tokenExpired");
  // What is only alike was not checked.
  expect(await userOf(authority, `${token.slice(0, -8)}AAAAAAAA`)).toBe("badToken");
});

describe("[CO-16] a key that cannot be one refuses the start, in words without the key", () => {
  const weak = makeSigner("RS256", undefined, { bits: 1024 }).option.publicKey ?? "";
  const secret = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
  const p384 = pem("ec", { namedCurve: "P-384" });
  const curve = pem("x25519");

  test.each([
    ["RS256", weak, "1024 bits is too weak"],
    ["PS512", weak, "1024 bits is too weak"],
    ["ES256", p384, "curve P-256"],
    ["ES384", makeSigner("ES256").option.publicKey ?? "", "curve P-384"],
    ["EdDSA", curve, "Ed25519"],
    ["RS256", p384, "RSA"],
    ["EdDSA", secret, "private key"],
    ["EdDSA", "nonsense", "no public key in PEM"],
    ["EdDSA", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no public key in PEM"],
  ] as const)("%s", (algorithm, publicKey, words) => {
    let failure: unknown;
    try {
      configuredKeys(undefined, [makeSigner("ES256").option, { algorithm, publicKey }]);
    } catch (error) {
      failure = error;
    }
    expect(failure).toBeInstanceOf(StartupError);
    const { message, advice } = failure as StartupError;
    expect(message).toContain("tokenKeys[1].publicKey: ");
    expect(message).toContain(words);
    expect(advice).not.toBe("");
    if (publicKey.length > 60) expect(message + advice).not.toContain(publicKey.slice(30, 60));
  });
});

test("[CO-17] what a withdrawn key has signed is not remembered under the keys that came while it was being checked", async () => {
  const signer = makeSigner("EdDSA");
  const other = makeSigner("EdDSA");
  const published = {
    known: configuredKeys(undefined, [signer.option]),
    generation: 1,
    ready: () => undefined,
    renew: () => Promise.resolve(),
  };
  const authority = jwtAuthority({ keys: [], published, clock });
  const [token, newer] = [await signer.sign({ sub: "bob" }), await other.sign({ sub: "alice" })];
  const checking = userOf(authority, token);
  published.known = configuredKeys(undefined, [other.option]);
  published.generation = 2;
  const next = userOf(authority, newer);
  expect(await Promise.all([checking, next])).toEqual(["bob", "alice"]);
  expect(await userOf(authority, token)).toBe("badToken");
});
