/**
 * Tokens signed with keys made in the test.
 *
 *     const signer = await makeSigner("ES256", "first");        // a key pair, and what a configuration or a key set says of it
 *     await signer.sign({ sub: "bob" });                        // a token; its header may be changed by a second argument
 *     configuredKeys(undefined, [signer.option]);
 *     JSON.stringify({ keys: [signer.jwk] });
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { SignJWT } from "jose";
import { type Algorithm, isHmac } from "../../src/auth/algorithms.ts";
import type { TokenKeyOption } from "../../src/config/token-key.ts";

export interface Signer {
  readonly option: TokenKeyOption;
  /** Of a secret there is none that could be published; this is what it would look like. */
  readonly jwk: Readonly<Record<string, unknown>>;
  sign(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
}

const SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const;

export interface SignerOptions {
  /** Of an RSA key. */
  readonly bits?: number;
}

export function makeSigner(algorithm: Algorithm, kid?: string, { bits = 2048 }: SignerOptions = {}): Signer {
  const named = kid === undefined ? {} : { kid };
  if (isHmac(algorithm)) {
    const secret = randomBytes(SECRET_BYTES[algorithm]).toString("hex").slice(0, SECRET_BYTES[algorithm]);
    return {
      option: { ...named, algorithm, secret },
      jwk: { ...named, kty: "oct", alg: algorithm, k: Buffer.from(secret).toString("base64url") },
      sign: signWith(algorithm, named, new TextEncoder().encode(secret)),
    };
  }
  const pair = pairFor(algorithm, bits);
  const publicKey = createPublicKey(pair.publicKey);
  return {
    option: { ...named, algorithm, publicKey: pair.publicKey },
    jwk: { ...publicKey.export({ format: "jwk" }), ...named, alg: algorithm, use: "sig" },
    sign:
      bits < 2048 ? signWeakly(named, pair.privateKey) : signWith(algorithm, named, createPrivateKey(pair.privateKey)),
  };
}

interface Pair {
  readonly publicKey: string;
  readonly privateKey: string;
}

function pairFor(algorithm: Algorithm, bits: number): Pair {
  const encoding = {
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  } as const;
  if (algorithm === "EdDSA") return generateKeyPairSync("ed25519", encoding);
  if (algorithm.startsWith("ES")) {
    return generateKeyPairSync("ec", { namedCurve: algorithm === "ES256" ? "P-256" : "P-384", ...encoding });
  }
  return generateKeyPairSync("rsa", { modulusLength: bits, ...encoding });
}

function segment(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** No library would: RS256 whatever the key. */
function signWeakly(named: { readonly kid?: string }, privateKey: string): Signer["sign"] {
  return (claims, header = {}) => {
    const signed = `${segment({ alg: "RS256", ...named, ...header })}.${segment(claims)}`;
    return Promise.resolve(`${signed}.${sign("sha256", Buffer.from(signed), privateKey).toString("base64url")}`);
  };
}

function signWith(
  alg: Algorithm,
  named: { readonly kid?: string },
  key: Parameters<SignJWT["sign"]>[0],
): Signer["sign"] {
  return (claims, header = {}) => new SignJWT(claims).setProtectedHeader({ alg, ...named, ...header }).sign(key);
}
