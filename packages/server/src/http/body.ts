/** Reads request bodies: bounded while they arrive, UTF-8 checked, JSON or form. */
import type { z } from "zod";
import { ReplyError } from "../base/failures.ts";
import { readForm } from "./form.ts";

const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The value of the body; `undefined` when there is none. `schema` says how the fields of a form are to be read. */
export async function readBody(request: Request, schema: z.ZodType, bytesMax: number): Promise<unknown> {
  const bytes = await readBytes(request, bytesMax);
  if (bytes.length === 0) return undefined;
  const type = mediaTypeOf(request.headers.get("content-type"));
  if (type === "application/json") return parseJson(decodeText(bytes));
  if (type === "application/x-www-form-urlencoded") return readForm(decodeText(bytes), schema);
  throw new ReplyError("contentType", "send `application/json` or `application/x-www-form-urlencoded`, in UTF-8");
}

async function readBytes(request: Request, bytesMax: number): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > bytesMax) throw tooLarge(bytesMax);
  if (request.body === null) return EMPTY;
  try {
    // With a content-length the server itself stops reading there; a chunked body has to be counted as it comes.
    return declared === null ? await collect(request.body, bytesMax) : await request.bytes();
  } catch (error) {
    if (error instanceof ReplyError) throw error;
    throw new ReplyError("malformed", "the body did not arrive whole");
  }
}

async function collect(body: ReadableStream<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop by a throw cancels the stream: the rest is not kept.
  for await (const chunk of body) {
    length += chunk.length;
    if (length > bytesMax) throw tooLarge(bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

function tooLarge(bytesMax: number): ReplyError {
  return new ReplyError("tooLarge", `the body is longer than ${bytesMax} bytes`);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ReplyError("malformed", "the body is not UTF-8");
  }
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
