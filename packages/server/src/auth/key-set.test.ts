/** Published keys while their endpoint is slow, down, wrong, or has new ones: with a fake clock and an endpoint to script. */
import { describe, expect, test } from "bun:test";
import { FakeClock } from "../../test/support/fake-clock.ts";
import { makeSigner, type Signer } from "../../test/support/tokens.ts";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import { configuredKeys } from "./configured-keys.ts";
import { jwtAuthority } from "./jwt.ts";
import { PublishedKeys } from "./key-set.ts";

const CACHE_MS = 600_000;

interface Rig {
  readonly clock: FakeClock;
  readonly warnings: string[];
  /** What the endpoint answers; an error: it does not; null: nothing at all. */
  answer: string | Error | null;
  /** How often it was asked. */
  asked: number;
  /** The user, or the name of the refusal. */
  userOf(token: string): Promise<string | undefined>;
  refusalOf(token: string): Promise<ReplyError>;
}

const setOf = (...signers: readonly Signer[]): string => JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });

function makeRig(answer: Rig["answer"], own: readonly Signer[] = []): Rig {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const note = (event: string, fields: unknown): void => void warnings.push(`${event} ${JSON.stringify(fields)}`);
  const log: Logger = { debug: () => undefined, info: () => undefined, warn: note, error: note };
  const published = new PublishedKeys({
    clock,
    log,
    cacheMs: CACHE_MS,
    fetchText(signal) {
      rig.asked++;
      if (rig.answer instanceof Error) return Promise.reject(rig.answer);
      if (rig.answer !== null) return Promise.resolve(rig.answer);
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
    },
  });
  const keys = configuredKeys(
    undefined,
    own.map(({ option }) => option),
  );
  const authority = jwtAuthority({ keys, published, clock });
  const identify = async (token: string): Promise<string | ReplyError | undefined> => {
    try {
      return (await authority.identify(token)).user;
    } catch (error) {
      if (error instanceof ReplyError) return error;
      throw error;
    }
  };
  const rig: Rig = {
    clock,
    warnings,
    answer,
    asked: 0,
    async userOf(token) {
      const found = await identify(token);
      return found instanceof ReplyError ? found.error : found;
    },
    async refusalOf(token) {
      const found = await identify(token);
      if (found instanceof ReplyError) return found;
      throw new Error("it was not refused");
    },
  };
  return rig;
}

const first = makeSigner("RS256", "first");
const second = makeSigner("ES256", "second");
const bob = { sub: "bob" };

describe("[CO-17] rotation", () => {
  test("the set is fetched once for many, and a key it does not have yet fetches it again", async () => {
    const rig = makeRig(setOf(first));
    const tokens = await Promise.all(Array.from({ length: 50 }, (_, at) => first.sign({ sub: `u${at}` })));
    expect(await Promise.all(tokens.map((token) => rig.userOf(token)))).toEqual(tokens.map((_, at) => `u${at}`));
    expect(rig.asked).toBe(1);
    rig.answer = setOf(first, second);
    rig.clock.advance(11_000);
    expect(await rig.userOf(await second.sign(bob))).toBe("bob");
    expect(rig.asked).toBe(2);
    expect(await rig.userOf(await first.sign(bob))).toBe("bob");
  });

  test("invented names ask at most every 10 seconds, and are refused", async () => {
    const rig = makeRig(setOf(first));
    await rig.userOf(await first.sign(bob));
    for (let second = 0; second < 30; second++) {
      rig.clock.advance(1000);
      expect(await rig.userOf(await first.sign(bob, { kid: `invented-${second}` }))).toBe("badToken");
    }
    expect(rig.asked).toBe(4);
  });

  test("a wrong signature under a known name, and what no published key could check, asks nobody", async () => {
    const rig = makeRig(setOf(first));
    await rig.userOf(await first.sign(bob));
    rig.clock.advance(60_000);
    expect(await rig.userOf(await makeSigner("RS256", "first").sign(bob))).toBe("badToken");
    expect(await rig.userOf(await makeSigner("HS256", "other").sign(bob))).toBe("badToken");
    expect(rig.asked).toBe(1);
  });

  test("a key that has gone from the set is good no more once that is fetched, for tokens checked before as well", async () => {
    const rig = makeRig(setOf(first, second));
    const token = await first.sign(bob);
    expect(await rig.userOf(token)).toBe("bob");
    rig.answer = setOf(second);
    rig.clock.advance(CACHE_MS - 1000);
    expect(await rig.userOf(token)).toBe("bob");
    rig.clock.advance(2000);
    // The first that comes late is not kept waiting; the next one sees the new set.
    await rig.userOf(token);
    expect(await rig.userOf(token)).toBe("badToken");
    expect(await rig.userOf(await second.sign(bob))).toBe("bob");
  });

  test("after a long quiet time nobody passes by an old set", async () => {
    const rig = makeRig(setOf(first));
    const token = await first.sign(bob);
    await rig.userOf(token);
    rig.answer = setOf(second);
    rig.clock.advance(10 * CACHE_MS);
    expect(await rig.userOf(token)).toBe("badToken");
  });

  test("keys without a name are replaced as well", async () => {
    const nameless = { ...first.jwk, kid: undefined };
    const rig = makeRig(JSON.stringify({ keys: [nameless] }));
    expect(await rig.userOf(await first.sign(bob, { kid: undefined }))).toBe("bob");
    const fresh = makeSigner("RS256");
    rig.answer = setOf(fresh);
    rig.clock.advance(11_000);
    expect(await rig.userOf(await fresh.sign(bob))).toBe("bob");
  });
});

describe("[CO-17] while the endpoint is down", () => {
  test("known keys go on, unknown ones are unavailable and say when to try again; then it recovers", async () => {
    const rig = makeRig(setOf(first));
    expect(await rig.userOf(await first.sign(bob))).toBe("bob");
    rig.answer = new Error("connection refused");
    rig.clock.advance(3 * CACHE_MS);
    expect(await rig.userOf(await first.sign(bob))).toBe("bob");
    const refusal = await rig.refusalOf(await second.sign(bob));
    expect(refusal).toMatchObject({ error: "unavailable", code: 201 });
    expect(refusal.retryMs).toBeGreaterThan(0);
    expect(refusal.retryMs).toBeLessThanOrEqual(5000);
    expect(rig.warnings).toHaveLength(1);
    rig.answer = setOf(second);
    rig.clock.advance(5000);
    expect(await rig.userOf(await second.sign(bob))).toBe("bob");
    expect(await rig.userOf(await first.sign(bob))).toBe("badToken");
  });

  test("from the start: unavailable, never `badToken`; keys of the configuration work", async () => {
    const own = makeSigner("ES384", "own");
    const rig = makeRig(new Error("no such host"), [own]);
    expect(await rig.userOf(await own.sign(bob))).toBe("bob");
    expect(await rig.userOf(await first.sign(bob))).toBe("unavailable");
    const asked = rig.asked;
    for (let at = 0; at < 100; at++) await rig.userOf(await first.sign(bob));
    expect(rig.asked).toBe(asked);
    rig.answer = setOf(first);
    rig.clock.advance(5000);
    expect(await rig.userOf(await first.sign(bob))).toBe("bob");
  });

  test("one that never answers is given up after 5 seconds", async () => {
    const rig = makeRig(null);
    const waiting = rig.userOf(await first.sign(bob));
    await Promise.resolve();
    rig.clock.advance(4900);
    expect(Bun.peek.status(waiting)).toBe("pending");
    rig.clock.advance(200);
    expect(await waiting).toBe("unavailable");
  });

  test("one that never answers keeps nobody waiting whose key is known", async () => {
    const rig = makeRig(setOf(first));
    await rig.userOf(await first.sign(bob));
    rig.answer = null;
    rig.clock.advance(CACHE_MS + 1000);
    expect(await rig.userOf(await first.sign(bob))).toBe("bob");
    expect(rig.asked).toBe(2);
    rig.clock.advance(5000);
    await Promise.resolve();
    expect(await rig.userOf(await first.sign(bob))).toBe("bob");
  });

  test.each(["", "nonsense", "null", "[]", "{}", '{"keys":{}}', "<html>"])(
    "an answer that is no key set changes nothing: %p",
    async (nonsense) => {
      const rig = makeRig(setOf(first));
      await rig.userOf(await first.sign(bob));
      rig.answer = nonsense;
      rig.clock.advance(3 * CACHE_MS);
      expect(await rig.userOf(await first.sign(bob))).toBe("bob");
      expect(await rig.userOf(await second.sign(bob))).toBe("unavailable");
    },
  );
});

describe("[CO-17] published keys that are not used", () => {
  const { privateKey, weak } = (() => {
    const signer = makeSigner("RS256", "weak", { bits: 1024 });
    return { privateKey: { ...first.jwk, d: "AAAA" }, weak: signer };
  })();

  test.each([
    ["a secret", makeSigner("HS256", "secret").jwk],
    ["a private key", privateKey],
    ["a weak one", weak.jwk],
    ["a weak one that does not say what it is for", { ...weak.jwk, alg: undefined }],
    ["one for encryption", { ...first.jwk, use: "enc" }],
    ["one for signing only", { ...first.jwk, key_ops: ["sign"] }],
    ["one of an algorithm that is not accepted", { ...first.jwk, alg: "RSA-OAEP" }],
    ["one whose algorithm does not fit", { ...first.jwk, alg: "ES256" }],
    ["one that cannot be read", { ...first.jwk, n: 1 }],
    ["nothing", null],
    ["text", "key"],
  ])("%s", async (_, jwk) => {
    const rig = makeRig(JSON.stringify({ keys: [jwk, second.jwk] }));
    expect(await rig.userOf(await second.sign(bob))).toBe("bob");
    rig.clock.advance(1000);
    expect(await rig.userOf(await first.sign(bob))).toBe("badToken");
    expect(await rig.userOf(await weak.sign(bob))).toBe("badToken");
    expect(rig.warnings).toHaveLength(1);
  });

  test("a public key of the set is no secret for HMAC", async () => {
    const rig = makeRig(setOf(first));
    expect(await rig.userOf(await makeSigner("HS256", "first").sign(bob))).toBe("badToken");
  });

  test("an RSA key that does not say its algorithm is good for RS and PS", async () => {
    const pss = makeSigner("PS384", "pss");
    const rig = makeRig(JSON.stringify({ keys: [{ ...pss.jwk, alg: undefined }] }));
    expect(await rig.userOf(await pss.sign(bob))).toBe("bob");
  });

  test("an Ed25519 key by its newer name", async () => {
    const signer = makeSigner("EdDSA", "ed");
    const rig = makeRig(JSON.stringify({ keys: [{ ...signer.jwk, alg: "Ed25519" }] }));
    expect(await rig.userOf(await signer.sign(bob))).toBe("bob");
  });
});
