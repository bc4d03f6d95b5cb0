/**
 * The one table of codes. Server, SDK, documentation and metrics read it.
 *
 * The hundreds digit alone tells a client what to do, for errors (three digits) and goodbyes (four digits, WebSocket's
 * private range) alike:
 *
 * | errors | goodbyes | meaning |
 * | --- | --- | --- |
 * | 1xx | 41xx | final: the same again gets the same answer; a goodbye of this range means do not come back |
 * | 2xx | 42xx | passing: try again later, with backoff, not before `retry` / `after` milliseconds where given |
 * | 3xx | 43xx | the token is no longer good: get a new one, then try again |
 *
 * `unsubscribed` carries codes of the error ranges: 1xx stay away, 2xx subscribe again, 3xx get a new token first.
 * A close code outside 41xx to 43xx comes from the network or a proxy: treat it as passing.
 */

/** What a client may do after a code. */
export type Remedy = "final" | "retry" | "refresh";

/** A row of the table. `status` is the HTTP status of the same error on the HTTP API. */
export interface CodeRow {
  readonly code: number;
  readonly text: string;
  readonly status: number;
}

/** Answers to a command or an HTTP request: the connection stays. */
export const ERRORS = {
  malformed: {
    code: 100,
    text: "this is not a JSON object with a type",
    status: 400,
  },
  unknownType: {
    code: 101,
    text: "there is no command of this type",
    status: 400,
  },
  badField: {
    code: 102,
    text: "a field is missing or has the wrong type",
    status: 400,
  },
  badChannel: { code: 103, text: "this is not a channel name", status: 400 },
  tooLarge: {
    code: 104,
    text: "the message is larger than allowed",
    status: 413,
  },
  tooDeep: {
    code: 105,
    text: "the data is nested deeper than allowed",
    status: 400,
  },
  alreadyConnected: {
    code: 106,
    text: "this connection is already connected",
    status: 400,
  },
  alreadySubscribed: {
    code: 107,
    text: "the channel is already subscribed",
    status: 409,
  },
  notSubscribed: {
    code: 108,
    text: "the channel is not subscribed",
    status: 409,
  },
  forbidden: { code: 109, text: "not allowed", status: 403 },
  notFound: { code: 110, text: "there is no such thing", status: 404 },
  conflict: {
    code: 111,
    text: "the idempotency key was used with other data",
    status: 409,
  },
  limit: { code: 112, text: "a limit is reached", status: 429 },
  noApplication: {
    code: 113,
    text: "no application answers calls here",
    status: 501,
  },
  notHere: {
    code: 114,
    text: "this command does not work on this transport",
    status: 400,
  },
  method: {
    code: 115,
    text: "the path does not take this method",
    status: 405,
  },
  contentType: {
    code: 116,
    text: "the content type is not understood",
    status: 415,
  },
  badKey: { code: 117, text: "the API key is missing or wrong", status: 401 },
  unsubscribedByServer: {
    code: 118,
    text: "the server ended the subscription",
    status: 403,
  },
  internal: {
    code: 200,
    text: "something went wrong on the server",
    status: 500,
  },
  unavailable: {
    code: 201,
    text: "the service is not available at the moment",
    status: 503,
  },
  rateLimited: {
    code: 202,
    text: "too many commands in a short time",
    status: 429,
  },
  badToken: { code: 300, text: "the token is not valid", status: 401 },
  tokenExpired: { code: 301, text: "the token has expired", status: 401 },
  tokenRequired: { code: 302, text: "a token is required", status: 401 },
} as const;

/** Goodbyes: the connection is closed with this code. */
export const DISCONNECTS = {
  binaryFrame: {
    code: 4100,
    text: "the native protocol is text: send JSON in text frames",
  },
  replaced: { code: 4101, text: "the session went on over another connection" },
  kicked: { code: 4102, text: "disconnected by the application" },
  refused: { code: 4103, text: "the connection is not allowed" },
  badRequest: { code: 4104, text: "the connection request is not valid" },
  shutdown: { code: 4200, text: "the server is going away" },
  slow: { code: 4201, text: "the client did not read fast enough" },
  noPong: { code: 4202, text: "nothing was heard from the client in time" },
  internalError: { code: 4203, text: "something went wrong on the server" },
  unavailableNow: {
    code: 4204,
    text: "the service is not available at the moment",
  },
  overloaded: { code: 4205, text: "the server is too busy" },
  asked: { code: 4206, text: "asked by the application to connect again" },
  messageTooLarge: { code: 4207, text: "the message is larger than allowed; come back without it" },
  flooding: { code: 4208, text: "too many commands in a short time" },
  invalidToken: { code: 4300, text: "the token is not valid" },
  expiredToken: { code: 4301, text: "the token has expired" },
  missingToken: { code: 4302, text: "a token is required" },
} as const;

/** Says that every row of a table has this shape; `satisfies` would hide the constants' types from declaration files. */
type TableOf<Row, Table extends Readonly<Record<string, Row>>> = Table;

export type ErrorName = keyof TableOf<CodeRow, typeof ERRORS>;
export type DisconnectName = keyof TableOf<Omit<CodeRow, "status">, typeof DISCONNECTS>;

/** What a client may do after an error, an unsubscription or a goodbye with this code. */
export function remedyOf(code: number): Remedy {
  const range = Math.floor((code % 4000) / 100);
  if (range === 1) return "final";
  if (range === 3) return "refresh";
  return "retry";
}
