/** Answers of the HTTP side: JSON, and failures as JSON. */
import { ReplyError } from "../base/failures.ts";
import type { LogFields, Logger } from "../base/log.ts";

const JSON_HEADERS = {
  "content-type": "application/json",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Made once: from an object they would be made anew for every answer, a quarter of a microsecond each. */
const PLAIN: ResponseInit = { headers: new Headers(JSON_HEADERS) };

export interface FailureBody {
  readonly error: { readonly code: number; readonly message: string; readonly path?: string };
}

export function jsonAnswer(value: unknown, status = 200, headers?: Readonly<Record<string, string>>): Response {
  const text = JSON.stringify(value);
  if (status === 200 && headers === undefined) return new Response(text, PLAIN);
  return new Response(text, { status, headers: { ...JSON_HEADERS, ...headers } });
}

export function emptyAnswer(): Response {
  return new Response(null, { status: 204 });
}

/** The failure as it is told to the caller. What is no ReplyError is a bug: logged whole, told as `internal`, without its words. */
export function replyErrorOf(error: unknown, log: Logger, context: LogFields): ReplyError {
  if (error instanceof ReplyError) return error;
  log.error("http request failed", { ...context, error });
  return new ReplyError("internal");
}

export function failureBody(failure: ReplyError): FailureBody {
  const { code, message, path } = failure;
  return { error: path === undefined ? { code, message } : { code, message, path } };
}

export function failureAnswer(failure: ReplyError): Response {
  const headers: Record<string, string> = {};
  if (failure.status === 401) headers["www-authenticate"] = 'Bearer realm="longwire"';
  if (failure.retryMs !== undefined) headers["retry-after"] = String(Math.ceil(failure.retryMs / 1000));
  return jsonAnswer(failureBody(failure), failure.status, headers);
}

/** 405, with what the path does take. */
export function methodAnswer(method: string, allow: string): Response {
  const failure = new ReplyError("method", `${method} is not one of ${allow}`);
  return jsonAnswer(failureBody(failure), failure.status, { allow });
}
