/** The call to the backend: one POST, over connections that the runtime keeps for the next. */

export interface CallAnswer {
  readonly status: number;
  readonly text: string;
}

/**
 * Rejects with what went wrong, or with the signal's reason. `cookie`: the client's, sent as if it had come by itself, so that the sessions of
 * any framework work as they do for its pages.
 */
export type Call = (body: string, signal: AbortSignal, cookie: string | undefined) => Promise<CallAnswer>;

export interface CallParts {
  readonly url: string;
  readonly secret: string | undefined;
  /** A longer answer is not read to its end. */
  readonly answerBytesMax: number;
  /** Says who asks. */
  readonly userAgent: string;
}

/** What a header can carry (RFC 9110 section 5.5): what a client sent may be something else once it was decoded. */
const HEADER_VALUE = /^[\t\u0020-\u007E\u0080-\u00FF]*$/;

export function httpCall({ url, secret, answerBytesMax, userAgent }: CallParts): Call {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    accept: "application/json",
    // Answers are short: inflating them costs more than it saves.
    "accept-encoding": "identity",
    "user-agent": userAgent,
  };
  if (secret !== undefined) headers["authorization"] = `Bearer ${secret}`;
  return async (body, signal, cookie) => {
    // Redirects are not followed: they lead to a page to log in at, with a status of 200.
    const response = await fetch(url, {
      method: "POST",
      headers: cookie === undefined || !HEADER_VALUE.test(cookie) ? headers : { ...headers, cookie },
      body,
      signal,
      redirect: "manual",
    });
    return { status: response.status, text: await readText(response, answerBytesMax) };
  };
}

async function readText(response: Response, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > bytesMax) throw new Error(`the answer is longer than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
