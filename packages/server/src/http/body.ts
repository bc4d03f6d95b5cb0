/** Reads request bodies: bounded while they arrive, UTF-8 checked, JSON or form. */
import type { z } from "zod";
import { ReplyError } from "../base/failures.ts";
import { readForm } from "./form.ts";

const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The bytes of the body, at most `bytesMax`. */
export function receiveBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const declared = request.headers.get("content-length");
  // With a content-length the server itself stops reading there; a chunked body has to be counted as it comes. `request.body` is touched
  // only then: making a stream costs a tenth of a whole publish.
  if (declared === null) return request.body === null ? Promise.resolve(EMPTY) : collect(request.body, bytesMax);
  if (Number(declared) > bytesMax) throw tooLarge(bytesMax);
  return request.bytes().catch(refuseCut);
}

/** The value of the body; `undefined` when there is none. `schema` says how the fields of a form are to be read. */
export function parseBody(bytes: Uint8Array, contentType: string | null, schema: z.ZodType): unknown {
  if (bytes.length === 0) return undefined;
  const type = mediaTypeOf(contentType);
  if (type === "application/json") return parseJson(decodeText(bytes));
  if (type === "application/x-www-form-urlencoded") return readForm(decodeText(bytes), schema);
  throw new ReplyError("contentType", "send `application/json` or `application/x-www-form-urlencoded`, in UTF-8");
}

async function collect(body: ReadableStream<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    // Leaving the loop by a throw cancels the stream: the rest is not kept.
    for await (const chunk of body) {
      length += chunk.length;
      if (length > bytesMax) throw tooLarge(bytesMax);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof ReplyError) throw error;
    refuseCut();
  }
  return Buffer.concat(chunks, length);
}

/** The client went away, or its chunks make no sense. */
function refuseCut(): never {
  throw new ReplyError("malformed", "the body did not arrive whole");
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
