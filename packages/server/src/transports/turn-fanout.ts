/**
 * Topics for transports without native ones: what a turn of the event loop publishes is framed and joined once per topic, and written
 * once per connection.
 *
 * One instance per framing, since all members of a topic get the same bytes.
 */
import type { Turn } from "../base/turn.ts";
import type { Fanout, Frame } from "../ports/connection.ts";

/** A connection as its fanout sees it. */
export interface TurnMember {
  /** Writes whole messages, framed; the same array may be handed to others. */
  deliver(bytes: Uint8Array): void;
}

interface Topic {
  readonly name: string;
  readonly members: Set<TurnMember>;
  /** What this turn has brought, unframed. */
  frames: Frame[];
}

export class TurnFanout implements Fanout {
  readonly #topics = new Map<string, Topic>();
  /** Topics with something to write. */
  #dirty: Topic[] = [];

  constructor(
    private readonly turn: Turn,
    /** Frames and joins. */
    readonly framed: (frames: readonly Frame[]) => Uint8Array,
  ) {}

  publish(topic: string, frame: Frame): boolean {
    const found = this.#topics.get(topic);
    if (found === undefined) return true;
    if (found.frames.length === 0) {
      if (this.#dirty.length === 0) this.turn.atEnd(this.flush);
      this.#dirty.push(found);
    }
    found.frames.push(frame);
    return true;
  }

  join(topic: string, member: TurnMember): void {
    const found = this.#topics.get(topic);
    if (found === undefined) {
      this.#topics.set(topic, { name: topic, members: new Set([member]), frames: [] });
      return;
    }
    // What the turn has brought so far is not for the newcomer.
    if (found.frames.length > 0) this.flush();
    found.members.add(member);
  }

  leave(topic: string, member: TurnMember): void {
    const found = this.#topics.get(topic);
    if (found === undefined) return;
    if (found.frames.length > 0) this.flush();
    found.members.delete(member);
    if (found.members.size === 0) this.#topics.delete(topic);
  }

  /** Writes what waits, now: whoever sends to a single connection calls it first, so that order is kept. */
  readonly flush = (): void => {
    const dirty = this.#dirty;
    if (dirty.length === 0) return;
    this.#dirty = [];
    const [only] = dirty;
    if (dirty.length === 1 && only !== undefined) {
      const bytes = this.#take(only);
      for (const member of only.members) member.deliver(bytes);
      return;
    }
    this.#flushJoined(dirty);
  };

  /** Several channels in one turn: a connection that follows more than one of them still gets one write. */
  #flushJoined(dirty: readonly Topic[]): void {
    const byMember = new Map<TurnMember, Topic[]>();
    const bytesOf = new Map<Topic, Uint8Array>();
    for (const topic of dirty) {
      bytesOf.set(topic, this.#take(topic));
      for (const member of topic.members) {
        const topics = byMember.get(member);
        if (topics === undefined) byMember.set(member, [topic]);
        else topics.push(topic);
      }
    }
    // Pages of one application follow the same channels: what was joined for one serves the next.
    let joinedOf: readonly Topic[] = [];
    let joined = new Uint8Array(0) as Uint8Array;
    for (const [member, topics] of byMember) {
      if (!sameItems(topics, joinedOf)) {
        joinedOf = topics;
        joined = Buffer.concat(topics.map((topic) => bytesOf.get(topic) as Uint8Array));
      }
      member.deliver(joined);
    }
  }

  #take(topic: Topic): Uint8Array {
    const bytes = this.framed(topic.frames);
    topic.frames = [];
    return bytes;
  }
}

function sameItems(some: readonly unknown[], others: readonly unknown[]): boolean {
  return some.length === others.length && some.every((item, index) => item === others[index]);
}
