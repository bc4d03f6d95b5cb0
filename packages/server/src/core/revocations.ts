/**
 * Revocations: users who were thrown out for a while. What they were given before counts no more: tokens issued before that moment (those
 * that do not say when, and bindings to a session that was lost, are taken for old), whichever way they come. They stand in the
 * state store, so that they hold for every process, and over a restart.
 *
 * The order matters: the revocation is kept first, then the user's sessions are ended; whoever connects asks here last, and is
 * listed in the same turn. So nobody slips in between.
 */
import { ReplyError } from "../base/failures.ts";
import type { RevocationView } from "../ports/control.ts";
import type { Core } from "./deps.ts";

interface Kept {
  readonly revokedAt: number;
  readonly until: number;
}

function keyOf(user: string): string {
  return `revoked/${user}`;
}

/** Throws the user out from now on. One that lasts longer already is not shortened. */
export async function revoke(core: Core, user: string, ttlMs: number): Promise<void> {
  const now = core.clock.now();
  const before = await find(core, user);
  const until = Math.max(now + ttlMs, before?.until ?? 0);
  await core.engine.state.set(keyOf(user), JSON.stringify({ revokedAt: now, until } satisfies Kept), until - now);
  // Whoever asked before it was kept is listed by then.
  await core.turn.end();
}

/** Resolves to false where there was nothing to lift. */
export async function lift(core: Core, user: string): Promise<boolean> {
  return await core.engine.state.remove(keyOf(user));
}

export async function revocationOf(core: Core, user: string): Promise<RevocationView | undefined> {
  const kept = await find(core, user);
  return kept === undefined ? undefined : { user, ...kept };
}

/** Rejects with `ReplyError(badToken)`, after which a client asks for a new token. */
export async function requireNotRevoked(
  core: Core,
  user: string | undefined,
  issuedAt: number | undefined,
): Promise<void> {
  if (user === undefined) return;
  const kept = await find(core, user);
  if (kept === undefined || (issuedAt !== undefined && issuedAt >= kept.revokedAt)) return;
  throw new ReplyError("badToken", "it was revoked");
}

async function find(core: Core, user: string): Promise<Kept | undefined> {
  const text = await core.engine.state.get(keyOf(user));
  return text === undefined ? undefined : (JSON.parse(text) as Kept);
}
