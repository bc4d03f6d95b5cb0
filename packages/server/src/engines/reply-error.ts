/** A refusal as text, for whoever asked from another process. */
import { ERRORS, type ErrorName } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";

interface ErrorFields {
  readonly error: ErrorName;
  readonly detail?: string;
  readonly retryMs?: number;
  readonly path?: string;
}

export function errorText({ error, message, retryMs, path }: ReplyError): string {
  const { text } = ERRORS[error];
  const fields: ErrorFields = {
    error,
    ...(message.length > text.length && { detail: message.slice(text.length + 2) }),
    ...(retryMs !== undefined && { retryMs }),
    ...(path !== undefined && { path }),
  };
  return JSON.stringify(fields);
}

/** Out of the parsed text. One that only another version knows is `unavailable`. */
export function errorOf(fields: unknown): ReplyError {
  const { error, detail, retryMs, path } = fields as ErrorFields;
  return Object.hasOwn(ERRORS, error)
    ? new ReplyError(error, detail, retryMs, path)
    : new ReplyError("unavailable", `another process says ${error}`);
}
