/** Reads what a body says: JSON or form. */
import type { z } from "zod";
import { ReplyError } from "../base/failures.ts";
import { decodeText } from "../base/request-body.ts";
import { readForm } from "./form.ts";

/** The value of the body; `undefined` when there is none. `schema` says how the fields of a form are to be read. */
export function parseBody(bytes: Uint8Array, contentType: string | null, schema: z.ZodType): unknown {
  if (bytes.length === 0) return undefined;
  const type = mediaTypeOf(contentType);
  if (type === "application/json") return parseJson(decodeText(bytes));
  if (type === "application/x-www-form-urlencoded") return readForm(decodeText(bytes), schema);
  throw new ReplyError("contentType", "send `application/json` or `application/x-www-form-urlencoded`, in UTF-8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ReplyError("malformed", "the body cannot be parsed as JSON");
  }
}

/** The media type in lower case; `undefined` where a charset other than UTF-8 is named. */
function mediaTypeOf(header: string | null): string | undefined {
  if (header === "application/json") return header;
  const [type, ...parameters] = (header ?? "").toLowerCase().split(";");
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith("charset="));
  if (charset !== undefined && !/^charset="?utf-?8"?$/.test(charset)) return undefined;
  return type?.trim();
}
