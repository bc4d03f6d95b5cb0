/** The call to the backend: one POST, over connections that the runtime keeps for the next. */

export interface CallAnswer {
  readonly status: number;
  readonly text: string;
}

/** Rejects with what went wrong, or with the signal's reason. */
export type Call = (body: string, signal: AbortSignal) => Promise<CallAnswer>;

export interface CallParts {
  readonly url: string;
  readonly secret: string | undefined;
  /** A longer answer is not read to its end. */
  readonly answerBytesMax: number;
  /** Says who asks. */
  readonly userAgent: string;
}

export function httpCall({ url, secret, answerBytesMax, userAgent }: CallParts): Call {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    accept: "application/json",
    // Answers are short: inflating them costs more than it saves.
    "accept-encoding": "identity",
    "user-agent": userAgent,
  };
  if (secret !== undefined) headers["authorization"] = `Bearer ${secret}`;
  return async (body, signal) => {
    // Redirects are not followed: they lead to a page to log in at, with a status of 200.
    const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
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
