/**
 * Requests out of an OpenAPI description: good ones, nearly good ones, and garbage in their places.
 *
 *     const requests = requestsOf(description);
 *     requests.make(random)          // {method, path, headers, body}, of any operation
 *
 * The description is all that is known here: what it promises is sent, what it forbids as well.
 */
import type { Random, RandomJson } from "@longwire/protocol/test/random";
import { mutateText } from "./mutator.ts";

type Schema = Readonly<Record<string, unknown>>;

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly schema: Schema;
}

interface Described {
  readonly method: string;
  readonly path: string;
  readonly parameters: readonly Parameter[];
  readonly body: Schema | undefined;
  readonly types: readonly string[];
}

export interface Description {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Schema>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

export interface FuzzRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | undefined;
}

export interface Words {
  /** The id of a session that is connected. */
  readonly session: () => string;
  /** Values that exist: channels, users, keys. */
  readonly known: readonly string[];
  readonly apiKey: string;
}

/** Names that are something else in JavaScript, in Unicode, in a header, in an event stream or in a path. */
export const ODD_NAMES: readonly string[] =
  "__proto__ constructor hasOwnProperty toString prototype __proto__:x @__proto__ @ : pusher.a:b io.x:y wms:z e\u0301 \u00e9 \ud800 \u0430dmin a,b .. %2e%2e a/b a?b a#b * null"
    .split(" ")
    .concat(
      "",
      "a b",
      "a\r\nSet-Cookie: x=1",
      "a\ndata: x",
      "../../api/stats",
      "\0",
      "\ufeff",
      "x".repeat(201),
      "\u{1f600}".repeat(51),
    );

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND", "QUERY"];
const TYPES = ["text/plain", "application/json; charset=utf-16", "", "multipart/form-data", "application/JSON", "x"];

export function requestsOf(
  description: Description,
  words: Words,
): { make(random: Random): FuzzRequest; readonly operations: number } {
  const operations = operationsOf(description);
  const maker = new Maker(description, words);
  return { make: (random) => maker.request(random, random.pick(operations)), operations: operations.length };
}

function operationsOf({ paths }: Description): Described[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => {
      const { requestBody, parameters = [] } = described as {
        requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
        parameters?: readonly Parameter[];
      };
      const content = Object.entries(requestBody?.content ?? {});
      return {
        method: method.toUpperCase(),
        path,
        parameters,
        body: content[0]?.[1].schema,
        types: content.map(([type]) => type),
      };
    }),
  );
}

class Maker {
  constructor(
    private readonly description: Description,
    private readonly words: Words,
  ) {}

  request(random: Random, { method, path, parameters, body, types }: Described): FuzzRequest {
    let target = path;
    const query: string[] = [];
    for (const { name, in: place, schema } of parameters) {
      const isSession = name === "session" && random.chance(80);
      const value = isSession
        ? this.words.session()
        : random.chance(85)
          ? String(this.value(random, schema))
          : random.pick(ODD_NAMES);
      if (place === "path") target = target.replace(`{${name}}`, encoded(random, value));
      else if (random.chance(50)) query.push(`${name}=${encoded(random, value)}`);
    }
    if (random.chance(4)) query.push(mutateText(random, "limit=1&after=x", ["a[]=1", "a[0]=b&a[1]=c"]));
    if (random.chance(5))
      target = mutateText(random, target, ["/api/publish", "/healthz"])
        .replace(/^[^/]*/, "/")
        .replace(/^\/+/, "/");
    const headers: Record<string, string> = {};
    if (random.chance(97)) headers["authorization"] = random.chance(96) ? `Bearer ${this.words.apiKey}` : "Bearer x";
    const value = body === undefined ? undefined : this.value(random, body);
    const type = random.chance(95) ? (types.length > 0 ? random.pick(types) : "application/json") : random.pick(TYPES);
    if (value !== undefined || random.chance(10)) headers["content-type"] = type;
    return {
      method: random.chance(95) ? method : random.pick(METHODS),
      path: `${wellFormed(target)}${query.length === 0 ? "" : `?${wellFormed(query.join("&"))}`}`,
      headers,
      body: this.body(random, type, value),
    };
  }

  body(random: Random, type: string, value: unknown): FuzzRequest["body"] {
    if (value === undefined) return random.chance(95) ? undefined : "{}";
    const text = type.endsWith("urlencoded") ? formOf(random, value) : JSON.stringify(value);
    if (random.chance(80)) return text;
    const damaged = mutateText(random, text, [text, '{"channel":"a","data":1}', "channel=a&data=1&channels[]=b"]);
    return random.chance(70) ? damaged : new Uint8Array(Buffer.from(damaged, "latin1"));
  }

  value(random: Random, schema: Schema): unknown {
    if (random.chance(4)) return random.chance(50) ? random.json(3) : random.pick(ODD_NAMES);
    const {
      $ref,
      anyOf,
      oneOf,
      const: fixed,
      enum: words,
      type,
    } = schema as {
      $ref?: string;
      anyOf?: readonly Schema[];
      oneOf?: readonly Schema[];
      const?: unknown;
      enum?: readonly unknown[];
      type?: string;
    };
    if ($ref !== undefined)
      return this.value(random, this.description.components.schemas[$ref.split("/").at(-1) ?? ""] ?? {});
    if (fixed !== undefined) return fixed;
    if (words !== undefined) return random.pick(words);
    if (anyOf !== undefined) return this.value(random, random.pick(anyOf));
    if (type === "object") return this.object(random, schema, oneOf);
    return this.plain(random, schema, type);
  }

  private plain(random: Random, schema: Schema, type: string | undefined): RandomJson | undefined | unknown[] {
    const {
      minimum = 0,
      maximum = 1000,
      items = {},
    } = schema as { minimum?: number; maximum?: number; items?: Schema };
    switch (type) {
      case "array":
        return Array.from({ length: random.below(5) }, () => this.value(random, items));
      case "boolean":
        return random.chance(50);
      case "null":
        return null;
      case "integer":
      case "number":
        return random.pick([minimum, maximum, minimum + random.below(1000), minimum - 1, maximum + 1, 1.5]);
      case "string":
        return random.chance(85)
          ? random.pick(this.words.known)
          : random.chance(50)
            ? random.text(30, true)
            : random.pick(ODD_NAMES);
      case undefined:
      default:
        return random.json(random.chance(97) ? 3 : 20);
    }
  }

  private object(random: Random, schema: Schema, oneOf: readonly Schema[] | undefined): Record<string, unknown> {
    const { properties = {}, required = [] } = schema as {
      properties?: Readonly<Record<string, Schema>>;
      required?: readonly string[];
    };
    if (Object.keys(properties).length === 0)
      return (random.chance(90) ? { a: random.json(2) } : random.json(2)) as Record<string, unknown>;
    const chosen = oneOf === undefined ? [] : (random.pick(oneOf)["required"] as readonly string[]);
    const exclusive = new Set((oneOf ?? []).flatMap((one) => one["required"] as readonly string[]));
    const value: Record<string, unknown> = {};
    for (const [name, property] of Object.entries(properties)) {
      const wanted = required.includes(name) || chosen.includes(name);
      if (wanted ? random.chance(97) : random.chance(exclusive.has(name) ? 3 : 25))
        value[name] = this.value(random, property);
    }
    if (random.chance(3))
      Object.defineProperty(value, random.pick(ODD_NAMES), { value: random.json(1), enumerable: true });
    return value;
  }
}

function formOf(random: Random, value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  const parts = Object.entries(value).flatMap(([name, field]) => {
    const texts = Array.isArray(field) ? field : [field];
    const ending = Array.isArray(field) && random.chance(50) ? "[]" : "";
    return texts.map(
      (text) =>
        `${encoded(random, name)}${ending}=${encoded(random, typeof text === "string" ? text : JSON.stringify(text))}`,
    );
  });
  return parts.join("&");
}

/** Mostly as it should be. */
function encoded(random: Random, text: string): string {
  const good = wellFormed(text);
  if (random.chance(95)) return encodeURIComponent(good);
  return random.chance(50)
    ? good.replaceAll(/[\s#?]/g, "")
    : `${encodeURIComponent(good)}%${random.pick(["", "f", "zz", "ff", "00"])}`;
}

/** `encodeURIComponent` and `Request` take no lone surrogates. */
function wellFormed(text: string): string {
  return text.toWellFormed();
}
