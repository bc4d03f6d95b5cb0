/**
 * JWT: who a client is, signed by the application or its identity provider (RFC 7515 and 7519).
 *
 * The header's `alg` picks among the keys that are for this algorithm and no other, so that neither `none` nor a public key
 * taken for a secret can pass (RFC 8725 section 3.1). A `kid` picks further; keys without one are tried for any.
 */
import { decodeJwt, decodeProtectedHeader, errors } from "jose";
import type { Clock } from "../base/clock.ts";
import { ReplyError } from "../base/failures.ts";
import type { Authority } from "../ports/authority.ts";
import { type Algorithm, ASYMMETRIC_ALGORITHMS, HMAC_ALGORITHMS, isHmac, type TokenKey } from "./algorithms.ts";
import { CheckedTokens } from "./checked-tokens.ts";
import { type CheckedToken, readClaims, requireTime, type TokenTerms } from "./claims.ts";
import type { KeySet } from "./key-set.ts";

/** Longest token, in characters. */
const TOKEN_LENGTH_MAX = 8192;

const ALGORITHMS: ReadonlySet<unknown> = new Set<Algorithm>([...HMAC_ALGORITHMS, ...ASYMMETRIC_ALGORITHMS]);

export interface JwtOptions extends Partial<TokenTerms> {
  readonly keys: readonly TokenKey[];
  /** More keys, published somewhere else. */
  readonly published?: KeySet | undefined;
  readonly clock: Clock;
}

/** An authority that trusts whoever signs with one of the keys. Without any, no token is good. */
export function jwtAuthority({ keys, published, clock, audience, issuer }: JwtOptions): Authority {
  const checked = new CheckedTokens();
  const terms: TokenTerms = { audience, issuer };

  async function check(token: string): Promise<CheckedToken> {
    if (keys.length === 0 && published === undefined)
      throw new ReplyError("badToken", "the server has no token secret to check it with");
    if (token.length > TOKEN_LENGTH_MAX)
      throw new ReplyError("badToken", `it has more than ${TOKEN_LENGTH_MAX} characters`);
    const { algorithm, kid } = readHeader(token);
    const isSlow = !isHmac(algorithm);
    if (isSlow) {
      const ready = published?.ready();
      if (ready !== undefined) await ready;
      const known = checked.find(token, published?.generation ?? 0);
      if (known !== undefined) return known;
    }
    const parts = partsOf(token);
    let generation = published?.generation ?? 0;
    if (!isSignedByOneOf(keys, algorithm, kid, parts)) {
      // Secrets are never published.
      if (!isSlow || published === undefined) throw notOurs();
      generation = await requirePublished(published, algorithm, kid, parts);
    }
    const claims = readClaims(
      parse(() => decodeJwt(token)),
      terms,
    );
    if (isSlow) checked.add(token, claims, generation);
    return claims;
  }

  async function read(token: string): Promise<CheckedToken> {
    const claims = await check(token);
    requireTime(claims, clock.now());
    return claims;
  }

  return {
    async identify(token) {
      const { identity, channel } = await read(token);
      if (channel !== undefined) throw new ReplyError("badToken", "it is a token for one channel, not for connecting");
      return identity;
    },
    async admit(token, channel, user) {
      const claims = await read(token);
      if (claims.channel !== channel) throw new ReplyError("badToken", `it is not for the channel ${channel}`);
      const { user: named, issuedAt } = claims.identity;
      if (named !== undefined && named !== user) throw new ReplyError("badToken", "it names another user");
      return issuedAt;
    },
  };
}

interface Parts {
  readonly signed: string;
  readonly signature: Buffer;
}

function partsOf(token: string): Parts {
  const dot = token.lastIndexOf(".");
  const text = token.slice(dot + 1);
  const signature = Buffer.from(text, "base64url");
  // The runtime passes over padding and whatever is no base64url (RFC 7515 section 2): one token could be shown, and would be remembered,
  // in any number of spellings.
  if (signature.toString("base64url") !== text) throw notOurs();
  return { signed: token.slice(0, dot), signature };
}

function readHeader(token: string): { algorithm: Algorithm; kid: string | undefined } {
  const { alg, crit, kid } = parse(() => decodeProtectedHeader(token));
  if (!ALGORITHMS.has(alg)) throw new ReplyError("badToken", "its algorithm is not accepted");
  if (crit !== undefined) throw new ReplyError("badToken", "its header asks for extensions (`crit`)");
  return { algorithm: alg as Algorithm, kid: typeof kid === "string" ? kid : undefined };
}

function isSignedByOneOf(
  keys: readonly TokenKey[],
  algorithm: Algorithm,
  kid: string | undefined,
  { signed, signature }: Parts,
): boolean {
  return keys.some((key) => {
    const isMeant = key.algorithm === algorithm && (key.kid === undefined || kid === undefined || key.kid === kid);
    return isMeant && key.verify(signed, signature);
  });
}

/**
 * A key that is not known yet may have been published meanwhile, or one without a name replaced. Resolves to the generation of the keys that
 * were looked at: they may be others when this is heard.
 */
async function requirePublished(
  published: KeySet,
  algorithm: Algorithm,
  kid: string | undefined,
  parts: Parts,
): Promise<number> {
  if (isSignedByOneOf(published.known, algorithm, kid, parts)) return published.generation;
  if (kid !== undefined && published.known.some((key) => key.kid === kid)) throw notOurs();
  await published.renew();
  if (!isSignedByOneOf(published.known, algorithm, kid, parts)) throw notOurs();
  return published.generation;
}

function notOurs(): ReplyError {
  return new ReplyError("badToken", "the signature is not ours");
}

/** jose throws `JWTInvalid` and `TypeError` for what is no token. */
function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) {
      throw new ReplyError("badToken", "it cannot be read as a JWT");
    }
    throw error;
  }
}
