/**
 * Drain: everybody is told to go, a few at a time, so that neither this server nor those that take the clients over get everything at once. Until it
 * is told, a client is served like on any other day.
 */
import { Disconnect } from "../base/failures.ts";
import type { Core } from "./deps.ts";
import type { CoreGateway } from "./gateway.ts";
import type { Session } from "./model.ts";

/** Clients are told, and asked to come back, over spans that grow with their number. */
const SPAN_PER_CLIENT_MS = 1;
const RETURN_SPAN_MAX_MS = 10_000;

const BATCH_MS = 50;
const LOOK_MS = 20;

/** What those who have not gone by themselves still get when there is no time. */
const HURRIED_MS = 250;

export async function drain(
  core: Core,
  gateway: CoreGateway,
  withinMs: number,
  hurry = new AbortController().signal,
): Promise<void> {
  const { clock, sessions } = core;
  const everybody = sessions.everybody();
  const deadline = clock.uptime() + withinMs;
  const spanMs = Math.min(RETURN_SPAN_MAX_MS, everybody.length * SPAN_PER_CLIENT_MS);
  // The second half is for reading.
  const batches = Math.max(1, Math.ceil(Math.min(withinMs / 2, spanMs) / BATCH_MS));
  const batchSize = Math.ceil(everybody.length / batches);
  const late = lateness(core, withinMs / 2, hurry);
  const dismiss = (batch: readonly Session[]): Promise<void>[] =>
    batch.map((session) => dismissOne(core, gateway, session, late, Math.round(Math.random() * spanMs)));
  const told: Promise<void>[] = [];
  for (let at = 0; at < everybody.length; at += batchSize) {
    if (at > 0) await pause(core, BATCH_MS, hurry);
    told.push(...dismiss(everybody.slice(at, at + batchSize)));
  }
  await Promise.all(told);
  // Who came by a connection that had been there already.
  await Promise.all(dismiss(sessions.everybody()));
  const endsAt = (): number => (hurry.aborted ? Math.min(deadline, hurriedAt + HURRIED_MS) : deadline);
  let hurriedAt = Infinity;
  while (sessions.connectionCount > 0) {
    if (hurry.aborted && hurriedAt === Infinity) hurriedAt = clock.uptime();
    if (clock.uptime() >= endsAt()) break;
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
  }
  for (const session of sessions.everybody()) session.connection.cut();
}

/** What it sent before is answered; what it sends from here on stays unread. Nothing is carried out without an answer. */
async function dismissOne(
  { goodbye }: Core,
  gateway: CoreGateway,
  session: Session,
  late: Promise<void>,
  afterMs: number,
): Promise<void> {
  // One that is closing already is waited for: paused, it would never show that it has gone.
  if (session.state === "closing" || session.state === "closed") return;
  session.connection.pause();
  if (session.pending !== null || session.running > 0) await Promise.race([gateway.settled(session), late]);
  goodbye(session, new Disconnect("shutdown", undefined, afterMs));
}

/** Resolves when what is not done yet is not waited for any more. */
function lateness({ clock }: Core, afterMs: number, hurry: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    clock.after(afterMs, resolve);
    hurry.addEventListener("abort", () => resolve(), { once: true });
    if (hurry.aborted) resolve();
  });
}

async function pause(core: Core, ms: number, hurry: AbortSignal): Promise<void> {
  if (!hurry.aborted) await lateness(core, ms, hurry);
}
