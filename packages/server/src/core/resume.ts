/**
 * Resume: a client that lost its connection goes on with its session: the same id, the user the application bound to it, the
 * channels the application gave it, and its data. The id is unguessable, so knowing it is the proof; the token must
 * still name the same user.
 */
import { Disconnect } from "../base/failures.ts";
import type { Core } from "./deps.ts";
import { NO_LUGGAGE, type Session, type SessionLuggage } from "./model.ts";

interface SessionRecord {
  readonly tokenUser: string | null;
  readonly luggage: Omit<SessionLuggage, "boundUser"> & { readonly boundUser: string | null };
}

/** What outlives a crash is kept this long after its last change, since nobody says goodbye then. */
const CRASH_KEEP_MS = 24 * 60 * 60 * 1000;

function keyOf(id: string): string {
  return `session/${id}`;
}

/** Takes over the session `id`; false when there is none, or its token named somebody else. */
export async function resume(core: Core, session: Session, id: string): Promise<boolean> {
  const live = core.sessions.get(id);
  if (live !== undefined) {
    if (live.identity.user !== session.identity.user) return false;
    // The old connection may be dead without our knowing: whoever comes back with the id is the client now.
    core.goodbye(live, new Disconnect("replaced"));
    session.id = id;
    session.luggage = live.luggage;
    return true;
  }
  const text = await core.engine.state.get(keyOf(id));
  if (text === undefined) return false;
  const { tokenUser, luggage } = JSON.parse(text) as SessionRecord;
  if (tokenUser !== (session.identity.user ?? null)) return false;
  session.id = id;
  session.luggage = { ...luggage, boundUser: luggage.boundUser ?? undefined };
  return true;
}

/** Keeps the session for a client that may come back within the resume time. Failing to is logged; the client starts anew then. */
export function keepForResume(core: Core, session: Session): void {
  if (core.settings.resumeMs === 0) return;
  core.engine.state.set(keyOf(session.id), recordOf(session), core.settings.resumeMs).catch((error: unknown) => {
    core.log.warn("session cannot be kept for resuming", { session: session.id, error });
  });
}

/** Forgets a session that must not be resumed. */
export function forgetForResume(core: Core, session: Session): void {
  if (session.luggage === NO_LUGGAGE) return;
  core.engine.state.remove(keyOf(session.id)).catch((error: unknown) => {
    core.log.warn("session cannot be forgotten", { session: session.id, error });
  });
}

/** Keeps what the application gave the session, so that it outlives a crash of this process. */
export async function keepLuggage(core: Core, session: Session): Promise<void> {
  await core.engine.state.set(keyOf(session.id), recordOf(session), CRASH_KEEP_MS);
}

function recordOf(session: Session): string {
  const record: SessionRecord = {
    tokenUser: session.identity.user ?? null,
    luggage: { ...session.luggage, boundUser: session.luggage.boundUser ?? null },
  };
  return JSON.stringify(record);
}
