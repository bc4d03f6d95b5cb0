/** Entries of a list that are objects (`apiKeys`, `tcpListeners`, `tokenKeys`): each field has a kind, and no other field is taken. */
import type { Kind, Report } from "./kinds.ts";
import { suggestion } from "./suggest.ts";

/** Of a kind, what does not depend on its type. */
type Field = Pick<Kind<unknown>, "schema" | "allowed" | "check">;

type Fields = Readonly<Record<string, Field>>;

export function fieldsSchema(fields: Fields, required: readonly string[]): Kind<unknown>["schema"] {
  const properties = Object.fromEntries(Object.entries(fields).map(([name, { schema }]) => [name, schema]));
  return { type: "object", properties, required, additionalProperties: false };
}

/** The value as an object; undefined where it is none, which the caller reports: the value may be a secret. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}

/** Reports fields that are unknown, missing or no good. `elsewhere`: a field that the caller looks at by itself. */
export function checkFields(
  values: Readonly<Record<string, unknown>>,
  fields: Fields,
  required: readonly string[],
  path: readonly string[],
  report: Report,
  elsewhere?: string,
): void {
  const names = Object.keys(fields);
  for (const key of Object.keys(values)) {
    if (!Object.hasOwn(fields, key)) report([...path, key], `there is no such field${suggestion(key, names)}`);
  }
  for (const [key, kind] of Object.entries(fields)) {
    if (key === elsewhere) continue;
    const value = values[key];
    if (value !== undefined) kind.check(value, [...path, key], report);
    else if (required.includes(key)) report([...path, key], `is missing; must be ${kind.allowed}`);
  }
}
