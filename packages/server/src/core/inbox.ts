/** Inboxes: the acknowledged position of a user, or of one device of a user, in a channel. */
import type { Session } from "./model.ts";

/**
 * Whose position it is; undefined for a session without user. The comma cannot stand in a name, so user `a` with device `b`
 * never meets another pair.
 */
export function inboxHolder(session: Session): string | undefined {
  const { user, client } = session;
  if (user === undefined || client === undefined) return user;
  return `${user},${client}`;
}
