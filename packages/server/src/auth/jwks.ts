/** JSON Web Key Sets (RFC 7517): what an identity provider publishes, read as the keys they hold. */
import { createPublicKey } from "node:crypto";
import { algorithmsOf, ASYMMETRIC_ALGORITHMS, keyFault, publicTokenKey, type TokenKey } from "./algorithms.ts";

const BYTES_MAX = 256 * 1024;
const KEYS_MAX = 100;

/**
 * The text at an address. Redirects are not followed: who is trusted stands in the configuration, and nobody else decides it. Rejects with
 * what went wrong.
 */
export async function fetchKeySet(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal, redirect: "manual", headers: { accept: "application/json" } });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > BYTES_MAX) throw new Error(`the answer is longer than ${BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

interface Jwk {
  readonly kty?: unknown;
  readonly d?: unknown;
  readonly kid?: unknown;
  readonly use?: unknown;
  readonly key_ops?: unknown;
  readonly alg?: unknown;
}

/** `unusable`: why some are left out. Throws where there is no set at all. */
export function readKeySet(text: string): { keys: TokenKey[]; unusable: string[] } {
  const set = JSON.parse(text) as { keys?: unknown } | null;
  if (!Array.isArray(set?.keys)) throw new Error("the answer is no key set");
  const keys: TokenKey[] = [];
  const unusable: string[] = [];
  for (const [index, jwk] of (set.keys as (Jwk | null)[]).slice(0, KEYS_MAX).entries()) {
    const read = readKey(jwk ?? {});
    if (typeof read === "string") unusable.push(`keys[${index}]: ${read}`);
    else keys.push(...read);
  }
  if (set.keys.length > KEYS_MAX) unusable.push(`more than ${KEYS_MAX} keys`);
  return { keys, unusable };
}

/** One entry per algorithm it is good for; text: why it is good for none. */
function readKey(jwk: Jwk): TokenKey[] | string {
  const { use, key_ops: operations, alg, kid } = jwk;
  if (jwk.kty === "oct") return "a secret is not published";
  if (jwk.d !== undefined) return "it is a private key";
  if (use !== undefined && use !== "sig") return "it is not for signatures (`use`)";
  if (Array.isArray(operations) && !operations.includes("verify")) return "it is not for checking (`key_ops`)";
  let key;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: "jwk" });
  } catch {
    return "it cannot be read";
  }
  const name = typeof kid === "string" ? kid : undefined;
  if (alg === undefined) {
    const algorithms = algorithmsOf(key);
    if (algorithms.length === 0) return "it is too weak, or of a kind that is not accepted";
    return algorithms.map((algorithm) => publicTokenKey(name, algorithm, key));
  }
  // RFC 9864 gives EdDSA with this curve a name of its own.
  const algorithm = ASYMMETRIC_ALGORITHMS.find((one) => one === (alg === "Ed25519" ? "EdDSA" : alg));
  if (algorithm === undefined) return "its algorithm is not accepted (`alg`)";
  return keyFault(algorithm, key) ?? [publicTokenKey(name, algorithm, key)];
}
