/** The kind of an entry of `apiKeys`: the one option whose value is an object. */
import { checkFields, fieldsOf, fieldsSchema } from "./fields.ts";
import { type Kind, list, MASK, type Report, secret, text, word } from "./kinds.ts";

export const SCOPES = ["publish", "read", "manage"] as const;
export type Scope = (typeof SCOPES)[number];

/** A key of the HTTP API. Without `namespaces` it is good for all. */
export interface ApiKey {
  /** Stands in logs. */
  readonly name: string;
  readonly key: string;
  readonly scopes: readonly Scope[];
  readonly namespaces?: readonly string[];
}

const ALLOWED = "an object {name, key, scopes, namespaces?}";
const anyText: Kind<string> = { ...text, allowed: "text", schema: { type: "string" }, check: checkAnyText };

const FIELDS = {
  name: text,
  key: secret(8),
  scopes: list(word(...SCOPES), { allowed: `a list of one or more of ${SCOPES.join(", ")}`, least: 1 }),
  // "" is the default namespace.
  namespaces: list(anyText, { allowed: "a list of namespaces", least: 1 }),
} as const;

const REQUIRED: readonly string[] = ["name", "key", "scopes"];

export const apiKey: Kind<ApiKey> = {
  allowed: ALLOWED,
  schema: fieldsSchema(FIELDS, REQUIRED),
  check(value, path, report) {
    const fields = fieldsOf(value);
    if (fields === undefined) {
      // Never the value: somebody who wrote a bare key here wrote a secret.
      report(path, `must be ${ALLOWED}; found ${Array.isArray(value) ? "a list" : typeof value}`);
      return value as ApiKey;
    }
    checkFields(fields, FIELDS, REQUIRED, path, report);
    return value as ApiKey;
  },
  fromText: (word) => word,
  mask: (value) => ({ ...value, key: MASK }),
};

function checkAnyText(value: unknown, path: readonly string[], report: Report): string {
  if (typeof value !== "string") report(path, `must be text; found ${typeof value}`);
  return value as string;
}
