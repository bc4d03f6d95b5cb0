/**
 * PresenceStore of an engine that serves one node, in memory: who is present is connected to this process and gone with it. On
 * disk it would only be wrong after a restart.
 */
import type { Member } from "@longwire/protocol";
import type { Sink } from "../ports/broker.ts";
import { personOf, type PresenceCount, type PresenceList, type PresenceStore } from "../ports/presence.ts";

interface Room {
  /** By session, in order of arrival. */
  readonly members: Map<string, Member>;
  /** Sessions per person. */
  readonly people: Map<string, number>;
}

export class LocalPresence implements PresenceStore {
  readonly #rooms = new Map<string, Room>();

  constructor(private readonly sink: Pick<Sink, "event">) {}

  put(channel: string, member: Member): Promise<void> {
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
    room.members.set(member.session, member);
    if (replaced !== undefined && countOut(room, replaced)) this.sink.event("leave", channel, replaced);
    if (sessions === 0) this.sink.event("join", channel, member);
    return Promise.resolve();
  }

  drop(channel: string, session: string): Promise<void> {
    const room = this.#rooms.get(channel);
    const member = room?.members.get(session);
    if (room === undefined || member === undefined) return Promise.resolve();
    room.members.delete(session);
    if (room.members.size === 0) this.#rooms.delete(channel);
    if (countOut(room, member)) this.sink.event("leave", channel, member);
    return Promise.resolve();
  }

  list(channel: string, limit: number): Promise<PresenceList> {
    const room = this.#rooms.get(channel);
    const members = room === undefined ? [] : room.members.values().take(limit).toArray();
    return Promise.resolve({ members, ...countOf(room) });
  }

  count(channel: string): Promise<PresenceCount> {
    return Promise.resolve(countOf(this.#rooms.get(channel)));
  }
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
