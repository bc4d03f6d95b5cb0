/**
 * The golden vectors, for tests: `readVectors("names.json") as Shape`. They go through `JSON.parse` and not through an import, since a
 * module loader may treat `__proto__` and lone surrogates, which they hold on purpose, in its own way.
 */
import { readFileSync } from "node:fs";

export function readVectors(file: string): unknown {
  return JSON.parse(readFileSync(new URL(`../vectors/${file}`, import.meta.url), "utf8"));
}

/** JSON text with the keys of every object in order: equal texts are equal values, `__proto__` among the keys or not. */
export function canonical(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const fields = Object.entries(value).map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
  return `{${fields.toSorted().join(",")}}`;
}
