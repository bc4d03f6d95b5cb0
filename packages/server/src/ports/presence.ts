/**
 * PresenceStore: which sessions are present in a channel.
 *
 * A person is a user, or a session without one. Promises: when a person comes or goes, the sinks of all processes that are subscribed to the
 * channel are told once (`Sink.event`), truthfully and in the order of the changes; the own one before `put` or `drop` resolves. Entries of a process that died
 * are gone within the engine's expiry, unless their session has been put by another one since.
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
  /** Adds or replaces the session's entry. */
  put(channel: string, member: Member): Promise<void>;
  /** Removes the session's entry, unless another process has put it since. */
  drop(channel: string, session: string): Promise<void>;
  list(channel: string, limit: number): Promise<PresenceList>;
  count(channel: string): Promise<PresenceCount>;
}

/** The person behind a member: sessions with the same person count once. */
export function personOf(member: Member): string {
  return member.user === undefined ? `s:${member.session}` : `u:${member.user}`;
}
