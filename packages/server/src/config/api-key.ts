/** The kind of an entry of `apiKeys`: the one option whose value is an object. */
import { type Kind, list, MASK, type Report, secret, text, word } from "./kinds.ts";
import { suggestion } from "./suggest.ts";

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
  schema: {
    type: "object",
    properties: Object.fromEntries(Object.entries(FIELDS).map(([name, kind]) => [name, kind.schema])),
    required: REQUIRED,
    additionalProperties: false,
  },
  check(value, path, report) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      // Never the value: somebody who wrote a bare key here wrote a secret.
      report(path, `must be ${ALLOWED}; found ${Array.isArray(value) ? "a list" : typeof value}`);
      return value as ApiKey;
    }
    const fields = value as Readonly<Record<string, unknown>>;
    for (const key of Object.keys(fields)) {
      if (!Object.hasOwn(FIELDS, key)) {
        report([...path, key], `there is no such field${suggestion(key, Object.keys(FIELDS))}`);
      }
    }
    for (const [key, kind] of Object.entries(FIELDS)) {
      const field = fields[key];
      if (field !== undefined) kind.check(field, [...path, key], report);
      else if (REQUIRED.includes(key)) report([...path, key], `is missing; must be ${kind.allowed}`);
    }
    return value as ApiKey;
  },
  fromText: (word) => word,
  mask: (value) => ({ ...value, key: MASK }),
};

function checkAnyText(value: unknown, path: readonly string[], report: Report): string {
  if (typeof value !== "string") report(path, `must be text; found ${typeof value}`);
  return value as string;
}
