/**
 * Opening: the request of a one-way transport, which says everything there is to say: who, which channels, from where. In the query, or as
 * `connect` and `subscribe` frames in the body or in the parameter `commands` (SPEC.md, OW-1).
 */
import { type Command, CommandFault, CURSOR_BYTES_MAX, type Position } from "@longwire/protocol";
import { Disconnect, ReplyError } from "../base/failures.ts";
import { decodeText, receiveBody } from "../base/request-body.ts";
import type { Handshake } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import type { CredentialReader } from "./credentials.ts";
import { readHandshake } from "./handshake.ts";

/** An epoch of 22 characters and an offset of 16 digits, with what stands between them. */
const POSITION_BYTES_MAX = 41;

export interface OpeningLimits {
  readonly channelsMax: number;
  readonly bodyBytesMax: number;
  readonly credentials: CredentialReader;
}

export interface Opening {
  readonly handshake: Handshake;
  /** Frames to be received first. */
  readonly lines: readonly string[];
  readonly parameters: URLSearchParams;
  /** Leave out what a returning client knows. */
  readonly quiet: boolean;
}

/**
 * Reads the request. `channel`: from the path, percent-encoded; `lastEventId`: what counts before `since`. Throws `Disconnect(badRequest)`
 * for what would be answered so on any transport, `ReplyError` for a body that is too large or did not arrive.
 */
export async function readOpening(
  request: Request,
  query: string,
  limits: OpeningLimits,
  more: { readonly channel?: string; readonly lastEventId?: string | null } = {},
): Promise<Opening> {
  const parameters = new URLSearchParams(query);
  if (more.channel !== undefined) parameters.append("channel", decodeChannel(more.channel));
  const lastEventId = more.lastEventId ?? parameters.get("lastEventId") ?? "";
  if (lastEventId !== "") parameters.set("since", lastEventId);
  let handshake = limits.credentials(request, readHandshake(parameters, limits.channelsMax));
  if (handshake.fault !== undefined) throw new Disconnect("badRequest", handshake.fault);
  const body = request.method === "POST" ? decodeText(await receiveBody(request, limits.bodyBytesMax)) : "";
  let lines = readLines([parameters.get("commands") ?? "", body], limits.channelsMax + 1);
  const { token, requestToken, session, channels, since } = handshake;
  const asksNothing = lines.length === 0 && channels.length === 0 && session === undefined;
  if (asksNothing && token === undefined && requestToken === undefined) {
    throw new Disconnect("badRequest", "name what to subscribe to: ?channels=a,b or frames in the body");
  }
  // There is nothing else to wait for.
  if (asksNothing && token === undefined) handshake = { ...handshake, token: requestToken };
  // A browser that comes back repeats its url, with the positions of the beginning: the id of the last event is newer.
  if (since instanceof Map) lines = lines.map((line) => withPositions(line, since, lastEventId !== ""));
  return { handshake, lines, parameters, quiet: flagOf(parameters, "quiet") || since instanceof Map };
}

/** A cursor in the query is good for the frames as well: to whoever has only that, its positions are not known. */
function withPositions(line: string, since: ReadonlyMap<string, Position>, isNewer: boolean): string {
  const frame = looseFrame(line);
  if (frame.since !== undefined && !isNewer) return line;
  if (frame.type === "connect") {
    const own = typeof frame.since === "object" ? frame.since : undefined;
    return JSON.stringify({ ...frame, since: { ...own, ...Object.fromEntries(since) } });
  }
  const position = frame.type === "subscribe" ? since.get(frame.channel as string) : undefined;
  return position === undefined ? line : JSON.stringify({ ...frame, since: position });
}

interface LooseFrame {
  readonly type?: unknown;
  readonly channel?: unknown;
  readonly since?: unknown;
  readonly token?: unknown;
  readonly session?: unknown;
}

/** What is no frame has nothing in it: the protocol says what is wrong with it. */
function looseFrame(line: string): LooseFrame {
  try {
    return (JSON.parse(line) ?? {}) as LooseFrame;
  } catch {
    return {};
  }
}

/** Whether the session will follow one channel and be nobody, to whom the server gives no others: as far as the request tells. */
export function asksForOne({ handshake, lines }: Opening): boolean {
  const { token, requestToken, session, channels } = handshake;
  if ((token ?? requestToken ?? session) !== undefined) return false;
  let count = channels.length;
  for (const line of lines) {
    const frame = looseFrame(line);
    if (frame.type === "subscribe") count++;
    if (frame.type === "connect" && (frame.token ?? frame.session) !== undefined) return false;
  }
  return count === 1;
}

/** A parameter that is `true`, or not there. */
export function flagOf(parameters: URLSearchParams, name: string): boolean {
  const value = parameters.get(name);
  if (value !== null && value !== "true") throw new Disconnect("badRequest", `${name}: the only word is \`true\``);
  return value === "true";
}

/** Refuses more channels than a cursor holds, whatever their positions will be. */
export function requireCursorRoom({ handshake, lines }: Opening): void {
  let bytes = 0;
  for (const channel of handshake.channels) bytes += Buffer.byteLength(channel) + POSITION_BYTES_MAX;
  // Of a line, its channel's name is all that goes into the cursor; the rest of it is shorter than what is added here.
  for (const line of lines) bytes += subscribedBytes(line);
  if (Math.ceil((bytes * 4) / 3) > CURSOR_BYTES_MAX) {
    throw new Disconnect("badRequest", `channels: a cursor of ${CURSOR_BYTES_MAX} bytes does not hold them all`);
  }
}

function subscribedBytes(line: string): number {
  const { type, channel } = looseFrame(line);
  return type === "subscribe" && typeof channel === "string" ? Buffer.byteLength(channel) + POSITION_BYTES_MAX : 0;
}

/** A protocol as one-way transports speak it, for those that come for the first time and those that return. Made once for all. */
export interface OneWayProtocol {
  readonly loud: Protocol;
  readonly quiet: Protocol;
}

export function oneWayProtocol(loud: Protocol, quiet: Protocol = quietProtocol(loud)): OneWayProtocol {
  return { loud: openingProtocol(loud), quiet: openingProtocol(quiet) };
}

/** `connect` and `subscribe` alone are understood, and a mistake in either refuses the request. */
export function openingProtocol(protocol: Protocol): Protocol {
  return {
    ...protocol,
    decode(data) {
      const command = decodeOrRefuse(protocol, data);
      if (command.type === "connect" || command.type === "subscribe") return command;
      throw new Disconnect("badRequest", `\`${command.type}\` goes to POST /send`);
    },
    ...(protocol.several !== undefined && { several: openingProtocol(protocol.several) }),
  };
}

function decodeOrRefuse(protocol: Protocol, data: string | Uint8Array): Command {
  try {
    return protocol.decode(data) as Command;
  } catch (error) {
    if (error instanceof CommandFault) throw new Disconnect("badRequest", error.message);
    throw error;
  }
}

/** What a returning client knows is left out: its greeting, and that its channels go on where it said (SPEC.md, OW-6). */
export function quietProtocol(protocol: Protocol): Protocol {
  return {
    ...protocol,
    encode(frame, isKnown = false) {
      const isLeftOut = frame.type === "connected" || (frame.type === "subscribed" && isKnown);
      return isLeftOut && frame.id === undefined ? null : protocol.encode(frame, isKnown);
    },
    ...(protocol.several !== undefined && { several: quietProtocol(protocol.several) }),
  };
}

function decodeChannel(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new Disconnect("badRequest", "channel: the path is not percent-encoded UTF-8");
  }
}

/** All lines, before any of them is looked at: a body holds millions of bad ones. */
function readLines(texts: readonly string[], linesMax: number): string[] {
  const lines: string[] = [];
  for (const text of texts) {
    for (const line of linesOf(text)) {
      if (lines.length === linesMax) throw new Disconnect("badRequest", `at most ${linesMax} frames`);
      lines.push(line);
    }
  }
  return lines;
}

/** Frames of a body; empty lines are none. One at a time, so that whoever has seen enough need not find the millions behind. */
export function* linesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length;) {
    const next = text.indexOf("\n", start);
    const end = next < 0 ? text.length : next;
    // Nothing is cut out for an empty one: a body may be made of them.
    const line = end === start ? "" : text.slice(start, end);
    if (line !== "" && line.trim() !== "") yield line;
    start = end + 1;
  }
}

const STATUS: Readonly<Record<string, number>> = { badRequest: 400, refused: 403, replaced: 409, messageTooLarge: 413 };

/** A goodbye before the answer began: its code and words in JSON, under the status that means the same to HTTP. */
export function refusalAnswer(goodbye: Disconnect): Response {
  const { code, message, disconnect, afterMs } = goodbye;
  const status = STATUS[disconnect] ?? (code >= 4300 ? 401 : code >= 4200 ? 503 : 403);
  const headers: Record<string, string> = { "cache-control": "no-store" };
  if (status === 401) headers["www-authenticate"] = 'Bearer realm="longwire"';
  if (afterMs !== undefined) headers["retry-after"] = String(Math.ceil(afterMs / 1000));
  return Response.json(
    { error: { code, message, ...(afterMs !== undefined && { after: afterMs }) } },
    { status, headers },
  );
}

/** Runs what answers a request; a goodbye that is thrown on the way is answered as one. */
export async function answering<Answer>(serve: () => Promise<Answer>): Promise<Answer | Response> {
  try {
    return await serve();
  } catch (error) {
    if (error instanceof Disconnect) return refusalAnswer(error);
    // A body that is too large, which as on WebSocket is no reason to stay away for good, or that did not arrive.
    if (error instanceof ReplyError) {
      return refusalAnswer(
        new Disconnect(error.error === "tooLarge" ? "messageTooLarge" : "badRequest", error.message),
      );
    }
    throw error;
  }
}
