/**
 * PresenceStore of an engine that serves one node, in memory: who is present is connected to this process, or to one of its workers, and gone
 * with it. On disk it would only be wrong after a restart.
 */
import type { Member } from "@longwire/protocol";
import type { Sink } from "../ports/broker.ts";
import { personOf, type PresenceCount, type PresenceList, type PresenceStore } from "../ports/presence.ts";

interface Entry {
  readonly member: Member;
  /** The process that has put it. */
  readonly owner: string;
}

interface Room {
  /** By session, in order of arrival. */
  readonly members: Map<string, Entry>;
  /** Sessions per person. */
  readonly people: Map<string, number>;
}

export class LocalPresence implements PresenceStore {
  readonly #rooms = new Map<string, Room>();

  constructor(private readonly sink: Pick<Sink, "event">) {}

  put(channel: string, member: Member, owner = ""): Promise<void> {
    let room = this.#rooms.get(channel);
    if (room === undefined) {
      room = { members: new Map(), people: new Map() };
      this.#rooms.set(channel, room);
    }
    const person = personOf(member);
    const sessions = room.people.get(person) ?? 0;
    room.people.set(person, sessions + 1);
    // Counted in before the old entry is counted out, so that a replaced entry of the same person does not come and go.
    const replaced = room.members.get(member.session);
    room.members.set(member.session, { member, owner });
    if (replaced !== undefined && countOut(room, replaced.member)) this.sink.event("leave", channel, replaced.member);
    if (sessions === 0) this.sink.event("join", channel, member);
    return Promise.resolve();
  }

  drop(channel: string, session: string, owner = ""): Promise<void> {
    const room = this.#rooms.get(channel);
    const entry = room?.members.get(session);
    if (room === undefined || entry?.owner !== owner) return Promise.resolve();
    room.members.delete(session);
    if (room.members.size === 0) this.#rooms.delete(channel);
    if (countOut(room, entry.member)) this.sink.event("leave", channel, entry.member);
    return Promise.resolve();
  }

  /** The sessions that a process has put, by channel: for its end, so nobody keeps a list of them. */
  *entriesOf(owner: string): Iterable<{ readonly channel: string; readonly session: string }> {
    for (const [channel, { members }] of this.#rooms) {
      for (const [session, entry] of members) if (entry.owner === owner) yield { channel, session };
    }
  }

  list(channel: string, limit: number): Promise<PresenceList> {
    const room = this.#rooms.get(channel);
    const members = room === undefined ? [] : listOf(room, limit);
    return Promise.resolve({ members, ...countOf(room) });
  }

  count(channel: string): Promise<PresenceCount> {
    return Promise.resolve(countOf(this.#rooms.get(channel)));
  }
}

function listOf(room: Room, limit: number): Member[] {
  return Array.from(room.members.values().take(limit), ({ member }) => member);
}

/** Returns whether the person has no session left. */
function countOut(room: Room, member: Member): boolean {
  const person = personOf(member);
  const sessions = (room.people.get(person) ?? 0) - 1;
  if (sessions > 0) room.people.set(person, sessions);
  else room.people.delete(person);
  return sessions <= 0;
}

function countOf(room: Room | undefined): PresenceCount {
  return { users: room?.people.size ?? 0, sessions: room?.members.size ?? 0 };
}
