/**
 * PresenceStore: which sessions are present in a channel.
 *
 * A person is a user, or a session without one. Promises: `put` and `drop` say truthfully, and atomically with the change,
 * whether a person came or went; an entry whose node died is gone within the engine's expiry.
 */
import type { Member } from "@longwire/protocol";

export interface PresenceCount {
  /** People: a user once, however many sessions; a session without user once. */
  readonly users: number;
  readonly sessions: number;
}

export interface PresenceList extends PresenceCount {
  /** At most the asked number, in order of arrival. */
  readonly members: readonly Member[];
}

export interface PresenceStore {
  /** Adds or replaces the session's entry; resolves to whether the person was not present before. */
  put(channel: string, member: Member): Promise<boolean>;
  /** Removes the session's entry; resolves to it if the person is not present any more, else to undefined. */
  drop(channel: string, session: string): Promise<Member | undefined>;
  list(channel: string, limit: number): Promise<PresenceList>;
  count(channel: string): Promise<PresenceCount>;
}

/** The person behind a member: sessions with the same person count once. */
export function personOf(member: Member): string {
  return member.user === undefined ? `s:${member.session}` : `u:${member.user}`;
}
