import { describe, expect, test } from "bun:test";
import { generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Identity } from "../ports/authority.ts";
import { hmacKey } from "./algorithms.ts";
import { jwtAuthority } from "./jwt.ts";

const SECRET = "a-secret-of-thirty-two-characters";
const clock = new FakeClock();
const authority = jwtAuthority({ keys: [hmacKey(undefined, "HS256", SECRET)], clock });

/** Unix seconds, from now. */
const inSeconds = (seconds: number): number => Math.floor(clock.now() / 1000) + seconds;

function sign(claims: Readonly<Record<string, unknown>>, secret = SECRET, alg = "HS256"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}

function base64url(text: string | Uint8Array): string {
  return Buffer.from(text as string).toString("base64url");
}

/** Signed by HMAC with our secret, whatever the header says. */
function forge(header: unknown, payload: unknown, hash: "sha256" | "sha512" = "sha256"): string {
  const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(payload))}`;
  return `${signed}.${new Bun.CryptoHasher(hash, SECRET).update(signed).digest("base64url")}`;
}

/** Name of the refusal, or the identity. */
async function identify(token: string, by = authority): Promise<string | Identity> {
  try {
    return await by.identify(token);
  } catch (error) {
    if (error instanceof ReplyError) return error.error;
    throw error;
  }
}

describe("[CO-5] a token is refused", () => {
  test("with another secret, cut, changed, or no token at all", async () => {
    const good = await sign({ sub: "bob" });
    const [header = "", , signature = ""] = good.split(".");
    for (const token of [
      await sign({ sub: "bob" }, "another-secret-of-thirty-two-chars"),
      good.slice(0, -2),
      good.slice(0, good.lastIndexOf(".")),
      good.slice(0, good.lastIndexOf(".") + 1),
      `${good}x`,
      `${good}.`,
      `${header}.${base64url('{"sub":"alice"}')}.${signature}`,
      "",
      "...",
      "nonsense",
      "Bearer x",
      "\ud800",
    ]) {
      expect([token, await identify(token)]).toEqual([token, "badToken"]);
    }
    expect(await identify(good)).toMatchObject({ user: "bob" });
  });

  test("with `alg` none, with and without a signature", async () => {
    const payload = { sub: "bob" };
    expect(await identify(new UnsecuredJWT(payload).encode())).toBe("badToken");
    for (const alg of ["none", "None", "NONE", "", undefined]) {
      expect([alg, await identify(forge({ alg, typ: "JWT" }, payload))]).toEqual([alg, "badToken"]);
    }
  });

  test("with any other algorithm, our secret as its key included", async () => {
    const payload = { sub: "bob" };
    for (const alg of ["RS256", "ES256", "PS256", "EdDSA", "HS384", "hs256"]) {
      expect([alg, await identify(forge({ alg }, payload))]).toEqual([alg, "badToken"]);
    }
    expect(await identify(forge({ alg: "HS512" }, payload, "sha512"))).toBe("badToken");
    expect(await identify(await sign(payload, SECRET.repeat(2), "HS512"))).toBe("badToken");
    const { privateKey } = await generateKeyPair("ES256");
    const own = await new SignJWT(payload).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
    expect(await identify(own)).toBe("badToken");
  });

  test("with a header that brings its own key or demands what we do not know", async () => {
    const key = { kty: "oct", k: base64url("attacker") };
    const signed = `${base64url(JSON.stringify({ alg: "HS256", jwk: key }))}.${base64url('{"sub":"bob"}')}`;
    const signature = new Bun.CryptoHasher("sha256", "attacker").update(signed).digest("base64url");
    expect(await identify(`${signed}.${signature}`)).toBe("badToken");
    expect(await identify(forge({ alg: "HS256", crit: ["x"], x: 1 }, { sub: "bob" }))).toBe("badToken");
    expect(await identify(forge({ alg: "HS256", b64: false, crit: ["b64"] }, { sub: "bob" }))).toBe("badToken");
  });

  test("with a claim that is malformed", async () => {
    for (const claims of [
      { sub: 1 },
      { sub: "" },
      { sub: null },
      { sub: "a b" },
      { sub: "a,b" },
      { sub: "\ud800" },
      { sub: "e\u0301" },
      { sub: "x".repeat(200) },
      { exp: "soon" },
      { nbf: "soon" },
      { channels: "a" },
      { channels: [1] },
      { channels: ["a b"] },
      { channels: [""] },
      { allow: ["a"] },
      { allow: { subscribe: "a" } },
      { allow: { subscribe: [1] } },
      { allow: { publsh: ["a"] } },
    ]) {
      const token = forge({ alg: "HS256" }, claims);
      expect([claims, await identify(token)]).toEqual([claims, "badToken"]);
    }
    for (const payload of ["[]", '"bob"', "null", "bob"]) {
      const signed = `${base64url('{"alg":"HS256"}')}.${base64url(payload)}`;
      const signature = new Bun.CryptoHasher("sha256", SECRET).update(signed).digest("base64url");
      expect([payload, await identify(`${signed}.${signature}`)]).toEqual([payload, "badToken"]);
    }
  });

  test("where no secret is configured, even one signed with an empty one", async () => {
    const none = jwtAuthority({ keys: [], clock });
    expect(await identify(await sign({ sub: "bob" }), none)).toBe("badToken");
    const signed = `${base64url('{"alg":"HS256"}')}.${base64url('{"sub":"bob"}')}`;
    const signature = new Bun.CryptoHasher("sha256", "").update(signed).digest("base64url");
    expect(await identify(`${signed}.${signature}`, none)).toBe("badToken");
  });

  test("[ST-8] without a word of the secret or the token", async () => {
    const token = await sign({ sub: "a b" });
    const failure = await authority.identify(token).catch((error: unknown) => String(error));
    expect(failure).toContain("sub");
    expect(failure).not.toContain(SECRET);
    expect(failure).not.toContain(token.slice(0, 20));
  });
});

describe("the time of a token", () => {
  test("[CO-5] one that is over is tokenExpired, one whose time has not come badToken", async () => {
    expect(await identify(await sign({ sub: "bob", exp: inSeconds(-1) }))).toBe("tokenExpired");
    expect(await identify(await sign({ sub: "bob", exp: 0 }))).toBe("tokenExpired");
    expect(await identify(await sign({ sub: "bob", nbf: inSeconds(60) }))).toBe("badToken");
    // Expired and forged: nothing is told of a token that is not ours.
    expect(await identify(await sign({ exp: 0 }, "another-secret-of-thirty-two-chars"))).toBe("badToken");
  });

  test("[CO-6] `exp` is its end, in milliseconds for us", async () => {
    const exp = inSeconds(60);
    expect(await identify(await sign({ sub: "bob", exp }))).toMatchObject({ expiresAt: exp * 1000 });
    expect(await identify(await sign({ sub: "bob" }))).toMatchObject({ expiresAt: undefined });
  });
});

describe("[CO-6] claims", () => {
  test("are all optional: an empty token is somebody anonymous", async () => {
    expect(await identify(await sign({}))).toEqual({
      user: undefined,
      expiresAt: undefined,
      channels: [],
      info: undefined,
      allow: undefined,
    });
  });

  test("say who it is, what it gets, what is shown, what it may", async () => {
    const claims = {
      sub: "小明",
      channels: ["a", "room:1", "__proto__"],
      info: { name: "小明", tags: [1, null] },
      allow: { subscribe: ["room:*"], history: [] },
      iat: 1,
      other: "ignored",
    };
    expect(await identify(await sign(claims))).toEqual({
      user: "小明",
      expiresAt: undefined,
      issuedAt: 1000,
      channels: claims.channels,
      info: claims.info,
      allow: claims.allow,
    });
  });

  test("[SU-8] a token for one channel is not for connecting, and admits its user to that channel alone", async () => {
    const token = await sign({ channel: "room:1", sub: "bob" });
    expect(await identify(token)).toBe("badToken");
    await authority.admit(token, "room:1", "bob");
    const refusalOf = (channel: string, user: string | undefined): Promise<string> =>
      authority.admit(token, channel, user).then(
        () => "admitted",
        (error: unknown) => (error as ReplyError).error,
      );
    expect(await refusalOf("room:2", "bob")).toBe("badToken");
    expect(await refusalOf("room:1", "alice")).toBe("badToken");
    expect(await refusalOf("room:1", undefined)).toBe("badToken");
    const forAnybody = await sign({ channel: "room:1" });
    await authority.admit(forAnybody, "room:1", undefined);
    await authority.admit(forAnybody, "room:1", "alice");
    const expired = await sign({ channel: "room:1", exp: inSeconds(-1) });
    expect(await authority.admit(expired, "room:1", "bob").catch((error: unknown) => (error as ReplyError).error)).toBe(
      "tokenExpired",
    );
    const forConnecting = await sign({ sub: "bob" });
    expect(
      await authority.admit(forConnecting, "room:1", "bob").catch((error: unknown) => (error as ReplyError).error),
    ).toBe("badToken");
  });
});

test("[CO-6] a token that is good until the end of all numbers says a number that JSON has", async () => {
  const identity = await identify(forge({ alg: "HS256" }, { sub: "bob", exp: 1e306 }));
  expect((identity as Identity).expiresAt).toBe(Number.MAX_SAFE_INTEGER);
});
