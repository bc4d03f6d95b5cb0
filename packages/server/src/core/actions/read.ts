/**
 * presence and history: what is there. A short command, a long answer: each takes a turn of its own, so that a client that sends
 * thousands of them in a row does not hold the loop.
 */
import type { HistoryCommand, HistoryEntry, Json, PresenceCommand } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import type { HistoryPage, Publication } from "../../ports/broker.ts";
import type { HistoryRequest } from "../../ports/control.ts";
import type { Core } from "../deps.ts";
import { shownTo } from "../member.ts";
import { requireReading } from "../permission.ts";
import type { Session } from "../model.ts";

const HISTORY_LIMIT = 100;

export async function presence(core: Core, session: Session, command: PresenceCommand): Promise<void> {
  const { channel, id } = command;
  await requireReading(core, session, "presence", channel);
  const { presenceListMax, queueBytesMax } = core.settings;
  const { members, ...counts } = await core.engine.presence.list(channel, presenceListMax);
  const shown = shownTo(session, members, queueBytesMax / 4);
  core.outbox.push(session, { type: "presence", ...(id !== undefined && { id }), channel, members: shown, ...counts });
  await core.turn.end();
}

export async function history(core: Core, session: Session, command: HistoryCommand): Promise<void> {
  const { channel, id } = command;
  await requireReading(core, session, "history", channel);
  const page = await readHistory(core, channel, command);
  const { top, publications, more } = page;
  const frame = session.protocol.encodeHistory({
    ...(id !== undefined && { id }),
    channel,
    ...top,
    publications,
    more,
  });
  if (frame !== null) core.outbox.pushFrame(session, frame);
  await core.turn.end();
}

/** A page of history, bounded by number and bytes; without `since` from the oldest kept, or with `reverse` from the top. */
export async function readHistory(core: Core, channel: string, request: HistoryRequest): Promise<HistoryPage> {
  const reverse = request.reverse ?? false;
  const page = await core.hub.broker.history(channel, {
    from: request.since ?? (reverse ? "latest" : "earliest"),
    reverse,
    limit: Math.min(request.limit ?? HISTORY_LIMIT, core.settings.historyPageMax),
    bytesMax: core.settings.queueBytesMax / 4,
  });
  if (!page.reached) throw new ReplyError("notFound", "the history does not reach this position");
  return page;
}

/** For those who need values; on its way to a client the data is never parsed. */
export function entryOf(publication: Publication): HistoryEntry {
  const { offset, time, encoding, name, user } = publication;
  return {
    offset,
    data: JSON.parse(publication.data) as Json,
    ...(encoding !== undefined && { encoding }),
    ...(name !== undefined && { name }),
    ...(user !== undefined && { user }),
    time,
  };
}
