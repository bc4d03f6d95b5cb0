/**
 * Resume: a client that lost its connection goes on with its session: the same id, the user the application bound to it, the
 * channels the application gave it, and its data. The id is unguessable, so knowing it is the proof; the token must
 * still name the same user.
 */
import { Disconnect } from "../base/failures.ts";
import { BOUND_MS, BOUND_RENEW_MS, keepBound, removeBound } from "./bound-state.ts";
import type { Core } from "./deps.ts";
import { isEmpty, type KeptLuggage, packed, unpacked } from "./luggage.ts";
import { NO_LUGGAGE, type Session, type SessionLuggage } from "./model.ts";
import { askForLuggage, makerOf } from "./moving.ts";
import { revocationOf } from "./revocations.ts";

interface SessionRecord {
  readonly tokenUser: string | null;
  /** When it runs out, in Unix milliseconds. */
  readonly until: number;
  /** The process that has the session, or had it last; absent where there is one alone. */
  readonly at?: string;
  readonly luggage: KeptLuggage;
}

/** A session that may be taken up. */
export interface Found {
  readonly luggage: SessionLuggage;
  /** The process to which it is connected, where that is another one. */
  readonly owner?: string | undefined;
  /** The process that was asked for it, and has not got it, or does not answer: another client may be taking it up there at this moment. */
  readonly doubted?: string | undefined;
  /** Until when the store has it as it is (Unix milliseconds); absent: it does not. */
  readonly keptUntil?: number | undefined;
}

/** What outlives a crash is kept this long after its last change, since nobody says goodbye then. */
const CRASH_KEEP_MS = 24 * 60 * 60 * 1000;

/** When it is renewed, and when again if that failed: so that a session may stay for as long as it likes. */
const RENEW_AFTER_MS = CRASH_KEEP_MS / 2;
const RENEW_AGAIN_MS = CRASH_KEEP_MS / 24;

function keyOf(id: string): string {
  return `session/${id}`;
}

/**
 * The session `id`, for one who may take it up; undefined when there is none, or its token named somebody else. Who took it from here last, else the store,
 * else its id says with which process it is; that one is asked, and mostly nobody else: when a node dies, all its clients come at once.
 */
export async function findSession(core: Core, session: Session, id: string): Promise<Found | undefined> {
  const { user } = session.identity;
  const { handovers } = core;
  // Another connection may have asked for it, and not have all that comes with it yet.
  await handovers.arrived(id);
  const live = core.sessions.get(id);
  if (live !== undefined) return live.identity.user === user ? { luggage: live.luggage } : undefined;
  let record = await readRecord(core, id);
  const { self } = core.peers;
  // One that only speaks for it has all it needs in the record.
  const isWanted = session.fleeting ? record === undefined : core.settings.resumeMs > 0;
  const others = isWanted ? core.peers.others : [];
  const asked: string[] = [];
  let doubted: string | undefined;
  let at = handovers.movedTo(id) ?? record?.at ?? makerOf(id);
  while (!isForeign(record, user) && others.includes(at) && !asked.includes(at)) {
    asked.push(at);
    const elsewhere = await askForLuggage(core, at, id, user);
    if (elsewhere.has === "foreign") return undefined;
    if (elsewhere.has === "luggage") return elsewhere;
    if (elsewhere.has === "silent") {
      doubted = elsewhere.owner;
      break;
    }
    doubted = at;
    handovers.forget(id, at);
    // Since the store was asked it may have been sent away there, its client may have left it, or it may have gone on elsewhere.
    record = await readRecord(core, id);
    at = record?.at ?? at;
  }
  if (record === undefined || isForeign(record, user)) return undefined;
  const luggage = unpacked(record.luggage);
  return {
    luggage,
    doubted,
    keptUntil: isEmpty(luggage) && (record.at ?? "") === self ? record.until : undefined,
  };
}

function isForeign(record: SessionRecord | undefined, user: string | undefined): boolean {
  return record !== undefined && record.tokenUser !== (user ?? null);
}

export async function readRecord(core: Core, id: string): Promise<SessionRecord | undefined> {
  const text = await core.engine.state.get(keyOf(id));
  return text === undefined ? undefined : (JSON.parse(text) as SessionRecord);
}

/** The luggage, unless it is bound to a revoked user: nobody knows when it was bound; who was thrown out since is to be bound anew. */
export async function unlessRevoked(
  core: Core,
  luggage: SessionLuggage | undefined,
): Promise<SessionLuggage | undefined> {
  if (luggage?.boundUser === undefined) return luggage;
  return (await revocationOf(core, luggage.boundUser)) === undefined ? luggage : undefined;
}

/**
 * Makes the session the one with this id. Synchronous, since two connections may have found the same session at the same time. Returns the process that has to be
 * asked for it (`claim`), if there is one.
 */
export function takeUp(core: Core, session: Session, id: string, found: Found): string | undefined {
  const live = core.sessions.get(id);
  session.id = id;
  session.luggage = live?.luggage ?? found.luggage;
  session.keptUntil = found.keptUntil ?? 0;
  // It may have gone on elsewhere since it was found here.
  const owner = live === undefined ? (found.owner ?? core.handovers.movedTo(id)) : undefined;
  core.handovers.forget(id);
  if (owner !== undefined) return owner;
  // The old connection may be dead without our knowing: whoever comes back with the id is the client now.
  if (live !== undefined) core.goodbye(live, new Disconnect("replaced"));
  settle(core, session);
  // Somebody else may have found the same in the store.
  if (live === undefined && core.peers.self !== "") core.handovers.confirmLater(id, found.doubted);
  return undefined;
}

/** What the store has runs out soon after a drop, and may name another process; the session may live for long, and end by a crash. */
export function settle(core: Core, session: Session): void {
  const { self } = core.peers;
  const { resumeMs } = core.settings;
  if (self === "" || resumeMs === 0 || !isEmpty(session.luggage)) {
    renew(core, session);
    return;
  }
  // Polls come and go every few seconds, most of them where the last one was.
  if (session.keptUntil === 0) {
    session.keptUntil = core.clock.now() + resumeMs * 1.5;
    keep(core, session, resumeMs * 1.5);
  }
  const leftMs = Math.max(0, session.keptUntil - core.clock.now());
  // Who made it knows of it without the store.
  session.renewAt = makerOf(session.id) === self ? Infinity : core.clock.uptime() + leftMs / 2;
}

/** Keeps what the application gave the session for another while, and where it is. */
export function renew(core: Core, session: Session): void {
  setRenewal(core, session);
  keepBound(core, session, BOUND_MS);
  if (!isRecorded(core, session)) return;
  session.keptUntil = 0;
  keep(core, session, CRASH_KEEP_MS);
}

/** Whether the store has it while it is connected. */
function isRecorded(core: Core, { id, luggage }: Session): boolean {
  const { self } = core.peers;
  return core.settings.resumeMs > 0 && (!isEmpty(luggage) || (self !== "" && makerOf(id) !== self));
}

function setRenewal(core: Core, session: Session): void {
  const hasKeys = session.luggage.keys.length > 0;
  session.renewAt =
    hasKeys || isRecorded(core, session) ? core.clock.uptime() + (hasKeys ? BOUND_RENEW_MS : RENEW_AFTER_MS) : Infinity;
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

/**
 * Likewise where others took this process for dead. If the session has gone on elsewhere since, or was ended there, what is known of it here is old, and must
 * not take the place of what is known there.
 */
export async function keepUnlessTaken(core: Core, session: Session): Promise<void> {
  if (core.settings.resumeMs > 0) {
    try {
      const record = await readRecord(core, session.id);
      if (record === undefined ? isRecorded(core, session) : record.at !== core.peers.self) return;
    } catch (error) {
      core.log.warn("a session cannot be looked at before it is kept", { session: session.id, error });
    }
  }
  keepForResume(core, session);
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
  if (session.luggage === NO_LUGGAGE && session.keptUntil === 0) return;
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

function recordOf(core: Core, session: Session, ttlMs: number): string {
  const { self } = core.peers;
  const record: SessionRecord = {
    tokenUser: session.identity.user ?? null,
    until: core.clock.now() + ttlMs,
    ...(self !== "" && { at: self }),
    luggage: packed(session.luggage),
  };
  return JSON.stringify(record);
}
