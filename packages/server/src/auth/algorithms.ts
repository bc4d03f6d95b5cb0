/**
 * Algorithms that sign tokens (RFC 7518 section 3, RFC 8037). Signatures are checked with `node:crypto`, in the call: jose's way leads
 * through WebCrypto, a promise and a thread for each. That took twice the processor's time and 3 KB of resident memory a
 * token with RSA, a third more with elliptic curves (measured), and 15,000 clients may come at once.
 */
import { constants, createHmac, type KeyObject, timingSafeEqual, verify } from "node:crypto";

export const HMAC_ALGORITHMS = ["HS256", "HS384", "HS512"] as const;

export const ASYMMETRIC_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "EdDSA",
] as const;

type HmacAlgorithm = (typeof HMAC_ALGORITHMS)[number];
export type AsymmetricAlgorithm = (typeof ASYMMETRIC_ALGORITHMS)[number];
export type Algorithm = HmacAlgorithm | AsymmetricAlgorithm;

/** Makes keys for one algorithm each: whoever could choose the algorithm would choose one that takes a public key for a secret (RFC 8725 section 3.1). */
export interface TokenKey {
  readonly kid: string | undefined;
  readonly algorithm: Algorithm;
  verify(signed: string, signature: Buffer): boolean;
}

export function isHmac(algorithm: Algorithm): algorithm is HmacAlgorithm {
  return algorithm.startsWith("HS");
}

export function hmacKey(kid: string | undefined, algorithm: HmacAlgorithm, secret: string): TokenKey {
  const hash = hashOf(algorithm);
  return {
    kid,
    algorithm,
    verify(signed, signature) {
      const wanted = createHmac(hash, secret).update(signed).digest();
      return signature.length === wanted.length && timingSafeEqual(signature, wanted);
    },
  };
}

export function publicTokenKey(kid: string | undefined, algorithm: AsymmetricAlgorithm, key: KeyObject): TokenKey {
  const input = verifyInput(algorithm, key);
  const hash = algorithm === "EdDSA" ? null : hashOf(algorithm);
  return { kid, algorithm, verify: (signed, signature) => verify(hash, Buffer.from(signed), input, signature) };
}

function verifyInput(algorithm: AsymmetricAlgorithm, key: KeyObject): Parameters<typeof verify>[2] {
  if (algorithm.startsWith("PS")) {
    return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  }
  // JWS has the two numbers side by side, not in DER (RFC 7518 section 3.4).
  return algorithm.startsWith("ES") ? { key, dsaEncoding: "ieee-p1363" } : key;
}

function hashOf(algorithm: Exclude<Algorithm, "EdDSA">): string {
  return `sha${algorithm.slice(2)}`;
}

const RSA_BITS_MIN = 2048;

const CURVES: Partial<Record<AsymmetricAlgorithm, string>> = { ES256: "prime256v1", ES384: "secp384r1" };

/** Why the key cannot be one for this algorithm, or undefined when it can. */
export function keyFault(algorithm: AsymmetricAlgorithm, key: KeyObject): string | undefined {
  const { asymmetricKeyType: type = "", asymmetricKeyDetails: details = {} } = key;
  if (algorithm === "EdDSA") return type === "ed25519" ? undefined : `${algorithm} needs an Ed25519 key`;
  if (algorithm.startsWith("ES")) {
    const curve = CURVES[algorithm];
    if (type === "ec" && details.namedCurve === curve) return undefined;
    return `${algorithm} needs a key on the curve ${algorithm === "ES256" ? "P-256" : "P-384"}`;
  }
  if (type !== "rsa") return `${algorithm} needs an RSA key`;
  const { modulusLength: bits = 0 } = details;
  return bits < RSA_BITS_MIN ? `an RSA key of ${bits} bits is too weak: at least ${RSA_BITS_MIN}` : undefined;
}

/** What a public key can check, where nothing says which of them it is for. */
export function algorithmsOf(key: KeyObject): readonly AsymmetricAlgorithm[] {
  return ASYMMETRIC_ALGORITHMS.filter((algorithm) => keyFault(algorithm, key) === undefined);
}
