/** What a request can fail with. */
import { type ErrorFrame, type Remedy, remedyOf } from "@longwire/protocol";

/**
 * Why a request failed. `refused`: the server answered an error, `code` says which. `timeout`: no answer in time. `lost`:
 * the connection broke after the request went out, and repeating it could do it twice. `queueFull`: too much is waiting
 * already. `disconnected`: the client was told to disconnect, or the server said not to come back.
 */
export type FailureReason = "refused" | "timeout" | "lost" | "queueFull" | "disconnected";

export class LongwireError extends Error {
  readonly reason: FailureReason;
  /** The server's code (`ERRORS` in `@longwire/protocol`), for `refused`. */
  readonly code: number | undefined;
  /** Not before so many milliseconds, where the server said so. */
  readonly retryMs: number | undefined;

  constructor(reason: FailureReason, message: string, code?: number, retryMs?: number) {
    super(message);
    this.name = "LongwireError";
    this.reason = reason;
    this.code = code;
    this.retryMs = retryMs;
  }

  /** Whether the same request may succeed later, or with a new token. */
  get remedy(): Remedy {
    return remedyOf(this.code ?? 0);
  }
}

/** The server answered an error. */
export function refusal({ message, code, retry }: ErrorFrame): LongwireError {
  return new LongwireError("refused", message, code, retry);
}
