/** Handshake: what a client says in the query of its connection, the same on every endpoint. */
import { channelFault, decodeCursor, LABEL_LENGTH_MAX, userFault } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { Handshake } from "../ports/gateway.ts";

const NOTHING: Handshake = { channels: [] };

/**
 * Reads `?channels=a,b&channel=c&token=…&since=…&client=…&session=…`. What is wrong becomes the handshake's `fault`: a
 * browser shows a page nothing of an HTTP answer to a failed upgrade, but a close code and its reason.
 */
export function readHandshake(query: string | URLSearchParams, channelsMax: number): Handshake {
  if (query === "") return NOTHING;
  const parameters = typeof query === "string" ? new URLSearchParams(query) : query;
  return orFault(() => parseHandshake(parameters, channelsMax));
}

/** The same where the path names the one channel. `segment` is percent-encoded. */
export function readChannelHandshake(query: string, segment: string): Handshake {
  return orFault(() => {
    const channel = decodeSegment(segment);
    const fault = channelFault(channel);
    if (fault !== undefined) throw new ReplyError("badChannel", fault, undefined, "channel");
    const parameters = new URLSearchParams(query);
    if (parameters.has("channel") || parameters.has("channels"))
      throw new ReplyError("badField", "the path names the one channel", undefined, "channels");
    return { ...parseHandshake(parameters, 0), channels: [channel] };
  });
}

function orFault(read: () => Handshake): Handshake {
  try {
    return read();
  } catch (error) {
    if (error instanceof ReplyError) return { channels: [], fault: `${error.path ?? ""}: ${error.message}` };
    throw error;
  }
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw new ReplyError("badChannel", "the path is not percent-encoded UTF-8", undefined, "channel");
  }
}

function parseHandshake(parameters: URLSearchParams, channelsMax: number): Handshake {
  const text = (key: string): string | undefined => parameters.get(key) || undefined;
  const session = text("session");
  if (session !== undefined && session.length > LABEL_LENGTH_MAX)
    throw new ReplyError("badField", "it is too long", undefined, "session");
  const client = text("client");
  const fault = client === undefined ? undefined : userFault(client);
  if (fault !== undefined) throw new ReplyError("badField", fault, undefined, "client");
  const frames = text("frames");
  if (frames !== undefined && frames !== "data")
    throw new ReplyError("badField", "the only word is `data`", undefined, "frames");
  return {
    token: text("token"),
    client,
    session,
    channels: readChannels(parameters, channelsMax),
    since: readSince(text("since")),
  };
}

function readChannels(parameters: URLSearchParams, channelsMax: number): string[] {
  const channels = new Set(parameters.getAll("channel"));
  for (const list of parameters.getAll("channels")) for (const channel of list.split(",")) channels.add(channel);
  channels.delete("");
  for (const channel of channels) {
    const fault = channelFault(channel);
    if (fault !== undefined) throw new ReplyError("badChannel", fault, undefined, "channels");
  }
  if (channels.size > channelsMax)
    throw new ReplyError("limit", `at most ${channelsMax} channels (subscriptionsMax)`, undefined, "channels");
  return [...channels];
}

function readSince(word: string | undefined): Handshake["since"] {
  if (word === undefined || word === "earliest" || word === "latest" || word === "inbox") return word;
  const positions = decodeCursor(word);
  if (positions === undefined) throw new ReplyError("badField", "it is no cursor", undefined, "since");
  return positions;
}
