/** The keys of `tokenSecret` and `tokenKeys`. What is too weak or cannot be read keeps the server from starting. */
import { createPublicKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { StartupError } from "../base/failures.ts";
import { isHmac, hmacKey, keyFault, publicTokenKey, type TokenKey } from "./algorithms.ts";
import type { TokenKeyOption } from "../config/token-key.ts";

const ADVICE = "`openssl pkey -in private.pem -pubout` prints the public key that belongs to a private one";

export function configuredKeys(tokenSecret: string | undefined, tokenKeys: readonly TokenKeyOption[]): TokenKey[] {
  const own = tokenSecret === undefined ? [] : [hmacKey(undefined, "HS256", tokenSecret)];
  return [...own, ...tokenKeys.map(readKey)];
}

function readKey({ kid, algorithm, secret, publicKey, publicKeyFile }: TokenKeyOption, index: number): TokenKey {
  const path = `tokenKeys[${index}]`;
  if (isHmac(algorithm)) return hmacKey(kid, algorithm, secret ?? "");
  const place = publicKeyFile === undefined ? `${path}.publicKey` : `${path}.publicKeyFile`;
  const key = parseKey(publicKey ?? readText(publicKeyFile ?? "", place), place);
  const fault = keyFault(algorithm, key);
  if (fault !== undefined)
    throw new StartupError(`${place}: ${fault}`, "name the algorithm that your tokens are signed with");
  return publicTokenKey(kid, algorithm, key);
}

function readText(file: string, place: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(
      `${place}: the file cannot be read: ${reason}`,
      "a relative path starts at the working directory",
    );
  }
}

function parseKey(pem: string, place: string): KeyObject {
  // The runtime would make a public key of it, but what signs has no business on a server that only checks.
  if (pem.includes("PRIVATE KEY"))
    throw new StartupError(`${place}: this is a private key, keep it where tokens are made`, ADVICE);
  try {
    return createPublicKey(pem);
  } catch {
    throw new StartupError(`${place}: this is no public key in PEM text`, ADVICE);
  }
}
