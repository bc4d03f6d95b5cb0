/**
 * Resume: a client that lost its connection goes on with its session: the same id, the user the application bound to it, the
 * channels the application gave it, and its data. The id is unguessable, so knowing it is the proof; the token must
 * still name the same user.
 */
import { Disconnect } from "../base/failures.ts";
import { BOUND_MS, BOUND_RENEW_MS, keepBound, removeBound } from "./bound-state.ts";
import type { Core } from "./deps.ts";
import { revocationOf } from "./revocations.ts";
import { NO_LUGGAGE, type Session, type SessionLuggage } from "./model.ts";

interface SessionRecord {
  readonly tokenUser: string | null;
  /** When it runs out, in Unix milliseconds. */
  readonly until: number;
  /** `keys` is absent in records of earlier versions. */
  readonly luggage: Pick<SessionLuggage, "channels" | "data"> & {
    readonly boundUser: string | null;
    readonly keys?: readonly string[];
  };
}

/** What outlives a crash is kept this long after its last change, since nobody says goodbye then. */
const CRASH_KEEP_MS = 24 * 60 * 60 * 1000;

/** When it is renewed, and when again if that failed: so that a session may stay for as long as it likes. */
const RENEW_AFTER_MS = CRASH_KEEP_MS / 2;
const RENEW_AGAIN_MS = CRASH_KEEP_MS / 24;

function keyOf(id: string): string {
  return `session/${id}`;
}

/** What the session `id` has, for one who may take it up; undefined when there is none, or its token named somebody else. */
export async function findLuggage(core: Core, session: Session, id: string): Promise<SessionLuggage | undefined> {
  const live = core.sessions.get(id);
  if (live !== undefined) return live.identity.user === session.identity.user ? live.luggage : undefined;
  const text = await core.engine.state.get(keyOf(id));
  if (text === undefined) return undefined;
  const { tokenUser, until, luggage: kept } = JSON.parse(text) as SessionRecord;
  if (tokenUser !== (session.identity.user ?? null)) return undefined;
  const luggage = { ...kept, boundUser: kept.boundUser ?? undefined, keys: kept.keys ?? [] };
  if (isEmpty(luggage)) session.keptUntil = until;
  return luggage;
}

/** The luggage, unless it is bound to a revoked user: nobody knows when it was bound; who was thrown out since is to be bound anew. */
export async function unlessRevoked(
  core: Core,
  luggage: SessionLuggage | undefined,
): Promise<SessionLuggage | undefined> {
  if (luggage?.boundUser === undefined) return luggage;
  return (await revocationOf(core, luggage.boundUser)) === undefined ? luggage : undefined;
}

/** Makes the session the one with this id. Synchronous, since two connections may have found the same session at the same time. */
export function takeUp(core: Core, session: Session, id: string, luggage: SessionLuggage): void {
  const live = core.sessions.get(id);
  session.id = id;
  session.luggage = live?.luggage ?? luggage;
  // The old connection may be dead without our knowing: whoever comes back with the id is the client now.
  if (live !== undefined) core.goodbye(live, new Disconnect("replaced"));
  // What the store has runs out soon after the drop; the session may live for long, and end by a crash.
  renew(core, session);
}

/** Keeps what the application gave the session for another while. */
export function renew(core: Core, session: Session): void {
  setRenewal(core, session);
  keepBound(core, session, BOUND_MS);
  if (core.settings.resumeMs > 0 && !isEmpty(session.luggage)) keep(core, session, CRASH_KEEP_MS);
}

function setRenewal(core: Core, session: Session): void {
  const hasKeys = session.luggage.keys.length > 0;
  const isKept = hasKeys || (core.settings.resumeMs > 0 && !isEmpty(session.luggage));
  session.renewAt = isKept ? core.clock.uptime() + (hasKeys ? BOUND_RENEW_MS : RENEW_AFTER_MS) : Infinity;
}

/**
 * Keeps the session for a client that may come back within the resume time. A client that polls comes back every few seconds: for one
 * that has come back, half as much is added, so that the store is written to once in a while and not at every poll.
 */
export function keepForResume(core: Core, session: Session): void {
  const { resumeMs } = core.settings;
  const { keptUntil } = session;
  if (resumeMs === 0) removeBound(core, session);
  else keepBound(core, session, resumeMs);
  if (resumeMs === 0 || keptUntil >= core.clock.now() + resumeMs) return;
  keep(core, session, keptUntil === 0 ? resumeMs : resumeMs * 1.5);
}

/** Failing to keep is logged; the client starts anew then. */
function keep(core: Core, session: Session, ttlMs: number): void {
  core.engine.state.set(keyOf(session.id), recordOf(core, session, ttlMs), ttlMs).catch((error: unknown) => {
    core.log.warn("session cannot be kept for resuming", { session: session.id, error });
    if (session.renewAt !== Infinity) session.renewAt = Math.min(session.renewAt, core.clock.uptime() + RENEW_AGAIN_MS);
  });
}

/** Forgets a session that must not be resumed. */
export function forgetForResume(core: Core, session: Session): void {
  if (session.luggage === NO_LUGGAGE) return;
  removeBound(core, session);
  core.engine.state.remove(keyOf(session.id)).catch((error: unknown) => {
    core.log.warn("session cannot be forgotten", { session: session.id, error });
  });
}

/** Keeps what the application gave the session, so that it outlives a crash of this process. */
export async function keepLuggage(core: Core, session: Session): Promise<void> {
  // A session that has ended meanwhile was kept with its luggage, or forgotten on purpose.
  if (session.state !== "open") return;
  setRenewal(core, session);
  core.watch(session);
  if (core.settings.resumeMs === 0) return;
  session.keptUntil = 0;
  await core.engine.state.set(keyOf(session.id), recordOf(core, session, CRASH_KEEP_MS), CRASH_KEEP_MS);
}

function isEmpty({ boundUser, channels, data, keys }: SessionLuggage): boolean {
  return boundUser === undefined && channels.length === 0 && keys.length === 0 && Object.keys(data).length === 0;
}

function recordOf(core: Core, session: Session, ttlMs: number): string {
  const record: SessionRecord = {
    tokenUser: session.identity.user ?? null,
    until: core.clock.now() + ttlMs,
    luggage: { ...session.luggage, boundUser: session.luggage.boundUser ?? null },
  };
  return JSON.stringify(record);
}
