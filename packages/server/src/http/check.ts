/** Puts values before their schemas and turns the first fault into the answer that names its place. */
import { base64Fault, depthOf } from "@longwire/protocol";
import type { z } from "zod";
import { ReplyError } from "../base/failures.ts";

/** The checked value; `within` is the key path of `value` itself, for parts of a body. */
export function checked<T>(schema: z.ZodType<T>, value: unknown, within = ""): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  // A misspelled name tells more than the field that is missing for it.
  const { issues } = result.error;
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0];
  if (issue === undefined) throw new ReplyError("badField");
  throw faultOf(issue, value, within);
}

function faultOf(issue: z.core.$ZodIssue, value: unknown, within: string): ReplyError {
  const path = within + keyPath(issue.path, within === "");
  if (issue.code === "unrecognized_keys") {
    const unknown = issue.keys.map((key) => path + keyPath([key], path === ""));
    return new ReplyError(
      "badField",
      `there is no field ${unknown.map((key) => `\`${key}\``).join(", ")}`,
      undefined,
      unknown[0],
    );
  }
  if (path === "") {
    const whole = issue.code === "invalid_type" ? "the body must be a JSON object" : issue.message;
    return new ReplyError(issue.code === "invalid_type" ? "malformed" : "badField", whole);
  }
  const missing = issue.code === "invalid_type" && valueAt(value, issue.path) === undefined;
  const words = missing ? "is missing" : `: ${issue.message.replace(/^[A-Z][a-z ]+: /, "")}`;
  return new ReplyError("badField", `\`${path}\`${missing ? " " : ""}${words}`, undefined, path);
}

/** `publications[3].channel`; a key that is no plain word stands in brackets, as JSON. */
function keyPath(path: readonly PropertyKey[], first: boolean): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number") text += `[${key}]`;
    else if (/^[A-Za-z_]\w*$/.test(String(key))) text += `${first && text === "" ? "" : "."}${String(key)}`;
    else text += `[${JSON.stringify(String(key).slice(0, 100))}]`;
  }
  return text;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path)
    at = typeof at === "object" && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined;
  return at;
}

/** How large the application's values may be. */
export interface ValueLimits {
  readonly publicationBytesMax: number;
  readonly depthMax: number;
}

/** JSON text of an application's value. The depth comes first: `JSON.stringify` recurses. */
export function textOf(value: unknown, limits: ValueLimits, path?: string): string {
  requireDepth(value, limits, path);
  const text = JSON.stringify(value);
  requireSize(text, limits, path);
  return text;
}

/** The same of what is to be said to clients, which stands for bytes where its `encoding` says so. */
export function messageTextOf(
  { data, encoding }: { readonly data: unknown; readonly encoding?: "base64" | undefined },
  limits: ValueLimits,
  path: string,
): string {
  const text = textOf(data, limits, path);
  const fault = encoding === undefined ? undefined : base64Fault(data);
  if (fault !== undefined) throw new ReplyError("badField", fault, undefined, path);
  return text;
}

function requireDepth(value: unknown, limits: ValueLimits, path?: string): void {
  if (typeof value !== "object" || value === null || depthOf(value, limits.depthMax) <= limits.depthMax) return;
  throw new ReplyError("tooDeep", `at most ${limits.depthMax} levels (depthMax)`, undefined, path);
}

function requireSize(text: string, limits: ValueLimits, path?: string): void {
  // A UTF-16 unit is at most three bytes: most texts need not be counted.
  if (text.length * 3 <= limits.publicationBytesMax) return;
  if (Buffer.byteLength(text) <= limits.publicationBytesMax) return;
  throw new ReplyError(
    "tooLarge",
    `at most ${limits.publicationBytesMax} bytes of JSON (publicationBytesMax)`,
    undefined,
    path,
  );
}
