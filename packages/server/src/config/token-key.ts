/** The kind of an entry of `tokenKeys`. */
import { checkFields, fieldsOf, fieldsSchema } from "./fields.ts";
import { type Kind, MASK, refuse, secret, text, word } from "./kinds.ts";

/** Bytes of the hash: a shorter secret would be the weaker part (RFC 7518 section 3.2). */
const SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const;

const PUBLIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] as const;

export interface TokenKeyOption {
  readonly kid?: string;
  readonly algorithm: keyof typeof SECRET_BYTES | (typeof PUBLIC)[number];
  /** With HS256, HS384 and HS512; the others have one of the two below. */
  readonly secret?: string;
  /** PEM text. */
  readonly publicKey?: string;
  readonly publicKeyFile?: string;
}

const ALLOWED = "an object {kid?, algorithm, secret | publicKey | publicKeyFile}";

const FIELDS = {
  kid: text,
  algorithm: word("HS256", "HS384", "HS512", ...PUBLIC),
  secret: secret(SECRET_BYTES.HS256),
  publicKey: text,
  publicKeyFile: text,
} as const;

const REQUIRED: readonly string[] = ["algorithm"];

const MATERIAL = ["secret", "publicKey", "publicKeyFile"] as const;

export const tokenKey: Kind<TokenKeyOption> = {
  allowed: ALLOWED,
  schema: fieldsSchema(FIELDS, REQUIRED),
  check(value, path, report) {
    const fields = fieldsOf(value);
    if (fields === undefined) {
      // Never the value: it may be a bare secret.
      refuse(report, path, ALLOWED, Array.isArray(value) ? [] : {});
      return value as TokenKeyOption;
    }
    checkFields(fields, FIELDS, REQUIRED, path, report, "secret");
    const { algorithm } = fields;
    if (algorithm === undefined) return value as TokenKeyOption;
    if (isSecretAlgorithm(algorithm)) checkSecret(algorithm, fields, path, report);
    else checkPublic(fields, path, report);
    return value as TokenKeyOption;
  },
  fromText: (word) => word,
  mask: (value) => (value.secret === undefined ? value : { ...value, secret: MASK }),
};

function isSecretAlgorithm(algorithm: unknown): algorithm is keyof typeof SECRET_BYTES {
  return typeof algorithm === "string" && Object.hasOwn(SECRET_BYTES, algorithm);
}

type Check = Parameters<Kind<TokenKeyOption>["check"]>;

function checkSecret(
  algorithm: keyof typeof SECRET_BYTES,
  fields: Readonly<Record<string, unknown>>,
  path: Check[1],
  report: Check[2],
): void {
  for (const key of MATERIAL.slice(1)) {
    if (fields[key] !== undefined) report([...path, key], `has no place here: ${algorithm} has a secret`);
  }
  if (fields["secret"] === undefined) report([...path, "secret"], `is missing: ${algorithm} has one`);
  else secret(SECRET_BYTES[algorithm]).check(fields["secret"], [...path, "secret"], report);
}

function checkPublic(fields: Readonly<Record<string, unknown>>, path: Check[1], report: Check[2]): void {
  if (fields["secret"] !== undefined) report([...path, "secret"], "has no place here: this algorithm has a public key");
  const given = [fields["publicKey"], fields["publicKeyFile"]].filter((one) => one !== undefined);
  if (given.length !== 1) report(path, "needs either publicKey (PEM text) or publicKeyFile");
}
