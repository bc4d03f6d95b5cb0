/**
 * Forms and queries: names and texts become the JSON value that the schema describes, which then checks it like any other body.
 *
 * A list comes as `channels=a,b`, repeated, or as PHP's http_build_query writes it (`channels[0]=a`); a repeated `channel` is
 * `channels`, where the schema has both. `data` is JSON if it parses, else a string; with `encoding=base64` it is text: `1234` and `true` are base64.
 */
import { z } from "zod";
import { ReplyError } from "../base/failures.ts";

type Kind = "text" | "boolean" | "number" | "list" | "json";

interface Field {
  readonly kind: Kind;
  readonly nullable: boolean;
}

const fieldTables = new WeakMap<z.ZodType, ReadonlyMap<string, Field>>();

/** Reads `a=1&b=2` into an object for the schema, which must be one of an object. */
export function readForm(text: string, schema: z.ZodType): Record<string, unknown> {
  const fields = fieldsOf(schema);
  if (fields === undefined) throw new ReplyError("contentType", "this takes `application/json` only");
  // Without a prototype: `__proto__` is to be refused as an unknown field, not to vanish.
  const value = Object.create(null) as Record<string, unknown>;
  const gathered = gather(text, fields);
  const isEncoded = fields.has("encoding") && gathered.has("encoding");
  for (const [name, texts] of gathered) {
    const field = fields.get(name);
    const [first = ""] = texts;
    if (field?.kind === "list") value[name] = texts.flatMap((item) => (item === "" ? [] : item.split(",")));
    else if (texts.length > 1) throw new ReplyError("badField", `\`${name}\` is given more than once`, undefined, name);
    else if (name === "data" && isEncoded) value[name] = first.startsWith('"') ? parseOrKeep(first) : first;
    else value[name] = field === undefined ? first : coerce(first, field);
  }
  return value;
}

function gather(text: string, fields: ReadonlyMap<string, Field>): Map<string, string[]> {
  const gathered = new Map<string, string[]>();
  for (const part of text.split("&")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    const written = decodePart(equals < 0 ? part : part.slice(0, equals));
    const name = baseOf(written, fields);
    const texts = gathered.get(name) ?? [];
    texts.push(decodePart(equals < 0 ? "" : part.slice(equals + 1)));
    gathered.set(name, texts);
  }
  for (const [name, texts] of gathered) {
    const plural = `${name}s`;
    if (texts.length < 2 || fields.get(plural)?.kind !== "list") continue;
    gathered.delete(name);
    gathered.set(plural, [...(gathered.get(plural) ?? []), ...texts]);
  }
  return gathered;
}

function baseOf(written: string, fields: ReadonlyMap<string, Field>): string {
  const base = /^([a-z]+)\[\d*\]$/.exec(written)?.[1];
  return base !== undefined && fields.get(base)?.kind === "list" ? base : written;
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part.replaceAll("+", " "));
  } catch {
    throw new ReplyError("malformed", `${JSON.stringify(part.slice(0, 40))} is not percent-encoded UTF-8`);
  }
}

/** What cannot be read as its kind stays a string, for the schema to refuse. */
function coerce(text: string, field: Field): unknown {
  if (text === "" && field.nullable) return null;
  switch (field.kind) {
    case "boolean":
      return text === "true" || text === "1" ? true : text === "false" || text === "0" ? false : text;
    case "number":
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case "json":
      return parseOrKeep(text);
    case "text":
    case "list":
      return text;
  }
}

function parseOrKeep(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function fieldsOf(schema: z.ZodType): ReadonlyMap<string, Field> | undefined {
  if (!(schema instanceof z.ZodObject)) return undefined;
  const known = fieldTables.get(schema);
  if (known !== undefined) return known;
  const fields = new Map(
    Object.entries(schema.shape as Record<string, z.ZodType>).map(([name, type]) => [name, fieldOf(type)]),
  );
  fieldTables.set(schema, fields);
  return fields;
}

function fieldOf(type: z.ZodType): Field {
  let inner = type;
  let nullable = false;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodExactOptional || inner instanceof z.ZodNullable) {
    nullable ||= inner instanceof z.ZodNullable;
    inner = inner.unwrap() as z.ZodType;
  }
  return { kind: kindOf(inner), nullable };
}

function kindOf(type: z.ZodType): Kind {
  if (type instanceof z.ZodBoolean) return "boolean";
  if (type instanceof z.ZodNumber) return "number";
  if (type instanceof z.ZodArray) return type.element instanceof z.ZodString ? "list" : "json";
  return type instanceof z.ZodString ? "text" : "json";
}
