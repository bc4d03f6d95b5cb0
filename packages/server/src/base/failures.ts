/**
 * The two expected failures of a running server, and the one of a starting server. Everything else that is thrown is a bug: it is logged with its context and answered as
 * `internal`. Both are caught in one place per door: `core/gateway` for clients, `http/router` for HTTP.
 */
import { DISCONNECTS, type DisconnectName, ERRORS, type ErrorName, remedyOf } from "@longwire/protocol";

/** Answer this and go on: the connection stays, nothing else is lost. `detail` is added to the table's text. */
export class ReplyError extends Error {
  readonly code: number;
  readonly status: number;

  constructor(
    readonly error: ErrorName,
    detail?: string,
    /** Not before so many milliseconds. */
    readonly retryMs?: number,
    /** Where in the request the fault lies: a key path such as `publications[3].channel`. */
    readonly path?: string,
  ) {
    super(detail === undefined ? ERRORS[error].text : `${ERRORS[error].text}: ${detail}`);
    this.code = ERRORS[error].code;
    this.status = ERRORS[error].status;
  }
}

/** Say goodbye and close the connection. */
export class Disconnect extends Error {
  readonly code: number;
  readonly reconnect: boolean;

  constructor(
    readonly disconnect: DisconnectName,
    detail?: string,
    /** Ask the client to come back no sooner than this. */
    readonly afterMs?: number,
  ) {
    super(detail === undefined ? DISCONNECTS[disconnect].text : `${DISCONNECTS[disconnect].text}: ${detail}`);
    this.code = DISCONNECTS[disconnect].code;
    this.reconnect = remedyOf(this.code) !== "final";
  }
}

/** The server cannot start. `message` says what is wrong and where, `advice` what to do; the CLI prints both and exits with 1. */
export class StartupError extends Error {
  constructor(
    message: string,
    readonly advice: string,
  ) {
    super(message);
  }
}
