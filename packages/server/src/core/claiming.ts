/** Claiming: a session that was taken up here while another process had it becomes this one's alone. */
import { Disconnect } from "../base/failures.ts";
import type { Core } from "./deps.ts";
import { unpacked } from "./luggage.ts";
import { NO_LUGGAGE, type Session, type SessionLuggage } from "./model.ts";
import { askForLuggage, askToYield, type Elsewhere, type Yielded } from "./moving.ts";
import { forgetForResume, keepForResume, readRecord, settle, unlessRevoked } from "./resume.ts";

/**
 * Asks the process that has the session for it. Resolves to whether it goes on here: it does also where nobody answers, but not if it was
 * sent away meanwhile. Never rejects but for bugs: the session is open by now.
 */
export async function claim(core: Core, session: Session, owner: string): Promise<boolean> {
  const arrival = arrive(core, session, owner);
  core.handovers.arrives(session.id, arrival);
  return await arrival;
}

async function arrive(core: Core, session: Session, owner: string): Promise<boolean> {
  const { id, luggage: before } = session;
  const yielded = await allowed(core, before, await lastLuggage(core, owner, id));
  // Another connection may have taken it from this one meanwhile, without leaving the process.
  const holder = core.sessions.get(id) ?? session;
  if (yielded.has === "over") {
    // A third process may be asking this one for it already.
    core.handovers.over(id);
    if (holder !== session) core.goodbye(holder, new Disconnect("kicked"));
    // Its client has gone again: it was kept for one that comes back.
    else if (session.state !== "open") forgetForResume(core, session);
    return false;
  }
  const luggage = yielded.has === "luggage" ? yielded.luggage : holder.luggage;
  if (core.sessions.get(id) === holder) {
    core.sessions.change(holder, () => (holder.luggage = luggage));
    settle(core, holder);
    core.watch(holder);
    core.handovers.confirmLater(id, yielded.has === "silent" ? yielded.owner : undefined);
    return true;
  }
  // Its client has gone again, or was sent away, before all was here.
  session.luggage = luggage;
  if (session.wasSentAway) forgetForResume(core, session);
  else keepForResume(core, session);
  return true;
}

/** Its client may have left it there since it was asked about: then what was kept of it counts. */
async function lastLuggage(core: Core, owner: string, id: string): Promise<Yielded> {
  const answer = await askToYield(core, owner, id);
  if (answer.has !== "none") return answer;
  try {
    const record = await readRecord(core, id);
    return record === undefined ? answer : { has: "luggage", luggage: unpacked(record.luggage) };
  } catch (error) {
    core.log.warn("a session goes on as it was a moment before its client left it", { session: id, error });
    return answer;
  }
}

/** It may have been bound to a user after it was asked about, one who is revoked. */
async function allowed(core: Core, before: SessionLuggage, answer: Yielded): Promise<Yielded> {
  if (answer.has !== "luggage" || answer.luggage.boundUser === before.boundUser) return answer;
  const kept = await unlessRevoked(core, answer.luggage).catch((error: unknown) => {
    core.log.warn("a session's user cannot be looked at, so it is not taken up", { error });
    return undefined;
  });
  return kept === undefined ? { has: "over" } : answer;
}

/** It was sent away where it was: the connection gets a session of its own after all. */
export function startAnew(core: Core, session: Session, id: string): void {
  core.sessions.retire(session);
  session.id = id;
  session.luggage = NO_LUGGAGE;
  core.sessions.add(session);
}

/** Looks once more whether the session is this process's: of two that have taken up the same from the store, the one that wrote last has it. */
export async function confirm(core: Core, session: Session, doubted: string | undefined): Promise<void> {
  const { peers, handovers } = core;
  try {
    if (doubted !== undefined && peers.others.includes(doubted)) {
      const answer = await askToYield(core, doubted, session.id);
      if (answer.has === "over") core.goodbye(session, new Disconnect("kicked"));
      if (answer.has === "silent") handovers.confirmLater(session.id, answer.owner);
      if (answer.has === "over" || answer.has === "silent") return;
    }
    const at = (await readRecord(core, session.id))?.at;
    if (at === undefined || at === peers.self) return;
    // What it wrote may have come late: it need not have the session any more, or live.
    const has = peers.others.includes(at) ? await heldBy(core, at, session) : "none";
    if (session.state !== "open") return;
    if (has === "luggage") core.goodbye(session, new Disconnect("replaced"));
    else if (has === "silent") handovers.confirmLater(session.id, undefined);
    else {
      session.keptUntil = 0;
      settle(core, session);
      core.watch(session);
    }
  } catch (error) {
    core.log.warn("a session that was taken up cannot be looked at again yet", { session: session.id, error });
    handovers.confirmLater(session.id, doubted);
  }
}

async function heldBy(core: Core, peer: string, { id, identity }: Session): Promise<Elsewhere["has"]> {
  return (await askForLuggage(core, peer, id, identity.user)).has;
}

/** The session was sent away for good. Before it has been looked at again, another process may have taken up the same. */
export async function endElsewhere(core: Core, session: Session): Promise<void> {
  const { peers, handovers, log } = core;
  const { id } = session;
  handovers.over(id);
  if (!handovers.isUnconfirmed(id)) return;
  try {
    await Promise.all(peers.others.map((peer) => askToYield(core, peer, id)));
  } catch (error) {
    log.error("a session that was sent away may go on elsewhere", { session: id, error });
  }
  // What that one has kept of it.
  forgetForResume(core, session);
}
