/** Bodies of requests: bounded while they arrive, UTF-8 checked. */
import { ReplyError } from "./failures.ts";

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

/** A body as text. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ReplyError("malformed", "the body is not UTF-8");
  }
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
  return new ReplyError("tooLarge", `the body is longer than ${bytesMax} bytes (bodyBytesMax)`);
}
