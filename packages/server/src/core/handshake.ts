/** The handshake in place of the first frames: what a client says by the way it connects, and how it is refused. */
import { remedyOf, type Since } from "@longwire/protocol";
import { Disconnect, ReplyError } from "../base/failures.ts";
import type { Handshake } from "../ports/gateway.ts";
import { connect, joinByServer } from "./actions/connect.ts";
import type { Core } from "./deps.ts";
import { requireReading } from "./permission.ts";
import type { Session } from "./model.ts";

/** About how many channels the application is asked at a time. */
const ASKED_MAX = 4;

/** Handshakes that can say something in place of the first frame. */
export function speaks(handshake: Handshake): boolean {
  return handshake.token !== undefined || handshake.session !== undefined || handshake.channels.length > 0;
}

const HANDSHAKE_GOODBYES = {
  badToken: "invalidToken",
  tokenExpired: "expiredToken",
  tokenRequired: "missingToken",
  forbidden: "refused",
} as const;

/** The goodbye that says what a failed `connect` says. */
export function goodbyeOf({ error, code, message, retryMs }: ReplyError): Disconnect {
  if (Object.hasOwn(HANDSHAKE_GOODBYES, error)) {
    return new Disconnect(HANDSHAKE_GOODBYES[error as keyof typeof HANDSHAKE_GOODBYES], message);
  }
  return remedyOf(code) === "retry"
    ? new Disconnect("unavailableNow", message, retryMs)
    : new Disconnect("badRequest", message);
}

/** The handshake connects and subscribes. A client without frames cannot try again on this connection: a bad token is a goodbye. */
export async function connectByHandshake(core: Core, session: Session, handshake: Handshake): Promise<void> {
  const { token, client, session: resumed, channels, since } = handshake;
  try {
    await connect(core, session, {
      ...(token !== undefined && { token }),
      ...(client !== undefined && { client }),
      ...(resumed !== undefined && { session: resumed }),
      ...(since instanceof Map && { since: Object.fromEntries(since) }),
    });
  } catch (error) {
    throw error instanceof ReplyError ? goodbyeOf(error) : error;
  }
  const refusals: Promise<unknown>[] = [];
  for (const [index, channel] of channels.entries()) {
    while (refusals.length < Math.min(channels.length, index + ASKED_MAX)) {
      refusals.push(refusalOf(core, session, channels[refusals.length] ?? ""));
    }
    const refused = await refusals[index];
    if (session.state !== "open") return;
    if (session.subscription(channel) !== undefined) continue;
    if (refused !== undefined && !(refused instanceof ReplyError)) throw refused;
    if (refused === undefined) await joinByServer(core, session, channel, sinceOf(channel, since));
    else announceRefusal(core, session, channel, refused, channels.length === 1);
  }
}

/**
 * Why the session may not subscribe to the channel, whatever was thrown: nobody may be there any more to take a rejection. Nobody is asked
 * about a channel that it has got already.
 */
async function refusalOf(core: Core, session: Session, channel: string): Promise<unknown> {
  if (session.subscription(channel) !== undefined) return undefined;
  try {
    await requireReading(core, session, "subscribe", channel);
    return undefined;
  } catch (error) {
    return error;
  }
}

const SILENT_GOODBYES = { final: "refused", retry: "unavailableNow", refresh: "missingToken" } as const;

/** Where frames are bare data, nobody would ever learn why the only channel stays silent. */
function announceRefusal(core: Core, session: Session, channel: string, refused: ReplyError, isOnly: boolean): void {
  const { code, message: reason } = refused;
  const frame = session.protocol.encode({ type: "unsubscribed", channel, code, reason });
  if (frame !== null) core.outbox.pushFrame(session, frame);
  else if (isOnly) throw new Disconnect(SILENT_GOODBYES[remedyOf(code)], refused.message, refused.retryMs);
}

function sinceOf(channel: string, since: Handshake["since"]): Since | undefined {
  return typeof since === "object" ? since.get(channel) : since;
}
