/** connect: who is it, is it somebody who was here a moment ago, and which channels does the server give it by itself? */
import { type ConnectCommand, personalChannel, type Position, type Since } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import { claim, startAnew } from "../claiming.ts";
import type { Core } from "../deps.ts";
import { identify } from "../identify.ts";
import { join } from "../join.ts";
import { findSession, takeUp, unlessRevoked } from "../resume.ts";
import { requireNotRevoked } from "../revocations.ts";
import { refusalOfGift } from "../rights.ts";
import { ANONYMOUS, type Session } from "../model.ts";

export async function connect(core: Core, session: Session, command: Omit<ConnectCommand, "type">): Promise<void> {
  if (session.state !== "waiting") throw new ReplyError("alreadyConnected");
  session.state = "connecting";
  try {
    const { identity, data } = await identify(core, session, command);
    session.identity = identity;
    session.client = command.client;
    session.jsonPing = command.ping ?? false;
    const { session: id } = command;
    const live = id === undefined ? undefined : core.sessions.get(id);
    const found = id === undefined ? undefined : await findSession(core, session, id);
    // Last, and both at once, see `revocations.ts`.
    const [kept] = await Promise.all([
      unlessRevoked(core, found?.luggage),
      requireNotRevoked(core, identity.user, identity.issuedAt),
    ]);
    // Sent away meanwhile, and not because another connection has taken it up.
    const wasKicked =
      (live?.wasSentAway === true && core.sessions.get(live.id) === undefined) ||
      (id !== undefined && core.handovers.isOver(id));
    const luggage = wasKicked ? undefined : kept;
    if (hasLeft(session)) return;
    const isFound = id !== undefined && found !== undefined && luggage !== undefined;
    if (session.fleeting) {
      // It speaks for the session, which goes on where it is.
      if (isFound) session.id = id;
      session.luggage = luggage ?? session.luggage;
      session.state = "open";
      return;
    }
    core.limits.requireRoom(core.sessions, luggage?.boundUser ?? identity.user, isFound ? id : undefined);
    session.request = null;
    core.requestTokens.delete(session);
    const ownId = session.id;
    let resumed = isFound;
    const owner = isFound ? takeUp(core, session, id, found) : undefined;
    session.state = "open";
    core.sessions.add(session);
    core.watch(session);
    if (owner !== undefined) {
      resumed = await claim(core, session, owner);
      if (hasEnded(session)) return;
      if (!resumed) startAnew(core, session, ownId);
    }
    if (!resumed && data !== undefined) session.luggage = { ...session.luggage, data };
    const isTold = core.outbox.push(session, {
      type: "connected",
      ...(command.id !== undefined && { id: command.id }),
      session: session.id,
      ...(session.user !== undefined && { user: session.user }),
      ping: core.settings.pingIntervalMs,
      ...(identity.expiresAt !== undefined && { expires: Math.max(0, identity.expiresAt - core.clock.now()) }),
      ...(id !== undefined && { resumed }),
    });
    // Nobody can come back for a session whose id was never said.
    if (!isTold && !resumed) session.keptUntil = Infinity;
    core.log.debug("session opened", () => ({
      session: session.id,
      user: session.user,
      address: session.connection.address,
      resumed,
    }));
  } catch (error) {
    // The client may try again with another token; nothing of this attempt stays.
    if (session.state === "connecting") session.state = "waiting";
    session.identity = ANONYMOUS;
    session.wasRefused = true;
    core.watch(session);
    throw error;
  }
  await joinServerChannels(core, session, command.since);
}

/** The channels nobody has to ask for: the personal one, the token's, those the application gave, those of the query. */
async function joinServerChannels(
  core: Core,
  session: Session,
  since: Readonly<Record<string, Position>> | undefined,
): Promise<void> {
  const channels = new Set(session.identity.channels);
  for (const channel of session.luggage.channels) channels.add(channel);
  if (session.user !== undefined) channels.add(personalChannel(session.user));
  for (const channel of channels) {
    // `hasOwn`: a channel may be called `constructor`.
    const position = since !== undefined && Object.hasOwn(since, channel) ? since[channel] : undefined;
    await joinByServer(core, session, channel, position);
  }
}

/** Subscribes without being asked by a command; a failure is told to the client, returned, and the others go on. */
export async function joinByServer(
  core: Core,
  session: Session,
  channel: string,
  since: Since | undefined,
): Promise<ReplyError | undefined> {
  if (session.state !== "open") return undefined;
  try {
    const refused = refusalOfGift(session, channel);
    if (refused !== undefined) throw refused;
    await join(core, session, { channel, since, events: false, echo: true, byToken: false });
    return undefined;
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    core.outbox.push(session, { type: "unsubscribed", channel, code: error.code, reason: error.message });
    return error;
  }
}

// A function, because the compiler believes that `state` cannot change during an await.
function hasLeft(session: Session): boolean {
  return session.state !== "connecting";
}

function hasEnded(session: Session): boolean {
  return session.state !== "open";
}
