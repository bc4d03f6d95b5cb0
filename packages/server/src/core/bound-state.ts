/**
 * Bound state: shared values that belong to a session and go with it. Their names travel in its luggage, so whoever takes the session up has
 * them. In the store they live for a few minutes at a time, renewed as long as some process has the session: after a crash nobody is there to remove them.
 */
import type { Core } from "./deps.ts";
import type { Session } from "./model.ts";

/** Of one session. Each is written to every few minutes. */
export const BOUND_KEYS_MAX = 100;

/** How long they outlive a crash of all that knew of them. */
export const BOUND_MS = 10 * 60 * 1000;

/** When they are renewed, and when again if that failed: before they run out, with some tries left. */
export const BOUND_RENEW_MS = 4 * 60 * 1000;
export const BOUND_RENEW_AGAIN_MS = 60 * 1000;

/** Values of the application and our own records (`session/…`, `revoked/…`) lie in one store. */
export function stateKey(key: string): string {
  return `app/${key}`;
}

/** Lets the session's keys live for so long from now on. A key that somebody has removed stays away. Failing is logged, and tried again soon. */
export function keepBound(core: Core, session: Session, ttlMs: number): void {
  for (const key of session.luggage.keys) {
    core.engine.state.touch(stateKey(key), ttlMs).catch((error: unknown) => {
      core.log.warn("a session's state key cannot be renewed", { session: session.id, key, error });
      if (session.state !== "open") return;
      session.renewAt = Math.min(session.renewAt, core.clock.uptime() + BOUND_RENEW_AGAIN_MS);
      core.watch(session);
    });
  }
}

/** The session has ended for good. What cannot be removed runs out by itself. */
export function removeBound(core: Core, session: Session): void {
  for (const key of session.luggage.keys) {
    core.engine.state.remove(stateKey(key)).catch((error: unknown) => {
      core.log.warn("a session's state key cannot be removed", { session: session.id, key, error });
    });
  }
}
