/**
 * PresenceStore in Redis. Each process is an owner of entries: what it has put is its to remove, and is removed by the others when it has died
 * (`claims.ts`). Who comes and goes is told by the scripts, as messages of the channel, which the broker hears.
 *
 * Whoever was taken for dead goes on as another owner, so that what is still removed of its old entries does not meet the new ones.
 */
import type { Member } from "@longwire/protocol";
import type { PresenceCount, PresenceList, PresenceStore } from "../../ports/presence.ts";
import { keyOf } from "./keys.ts";
import { orUnavailable } from "./answers.ts";
import type { Link } from "./link.ts";
import { OwnEntries, type OwnEntriesDeps } from "./own-entries.ts";
import { memberOf } from "./presence-entry.ts";
import { LIST, LIST_PAGE } from "./presence-scripts.ts";

/** What a member may take in an answer. */
const MEMBER_BYTES = 1024;

export interface PresenceDeps extends Omit<OwnEntriesDeps, "owner"> {
  readonly link: Link;
  readonly prefix: string;
}

interface Page {
  readonly counts: PresenceCount;
  /** Behind which the next page begins. */
  readonly next: string;
  /** Session, value, … */
  readonly rest: readonly unknown[];
}

export class RedisPresence implements PresenceStore {
  #own: OwnEntries;

  constructor(
    private readonly deps: PresenceDeps,
    owner: string,
  ) {
    this.#own = new OwnEntries({ ...deps, owner });
  }

  put(channel: string, member: Member): Promise<void> {
    return this.#own.put(channel, member);
  }

  drop(channel: string, session: string): Promise<void> {
    return this.#own.drop(channel, session);
  }

  async list(channel: string, limit: number): Promise<PresenceList> {
    const members: Member[] = [];
    for (let after = "-inf"; ;) {
      const wanted = Math.min(limit - members.length, LIST_PAGE);
      const { counts, next, rest } = await this.#read(channel, after, wanted);
      for (let at = 0; at < rest.length; at += 2) members.push(memberOf(String(rest[at]), String(rest[at + 1])));
      if (rest.length < 2 * wanted || members.length >= limit) return { members, ...counts };
      after = next;
    }
  }

  async count(channel: string): Promise<PresenceCount> {
    return (await this.#read(channel, "-inf", 0)).counts;
  }

  async #read(channel: string, after: string, limit: number): Promise<Page> {
    const { link, prefix } = this.deps;
    const keys = ["pm", "po", "pp"].map((kind) => keyOf(prefix, kind, channel));
    const answer = (await orUnavailable(
      link.read(LIST, keys, [after, String(limit)], limit * MEMBER_BYTES),
    )) as unknown[];
    const [sessions, users, nobodies, next, ...rest] = answer;
    const counts = { users: Number(users) + Number(nobodies), sessions: Number(sessions) };
    return { counts, next: String(next), rest };
  }

  /** Writes what could not be written before. */
  settle(): void {
    this.#own.settle();
  }

  /** Messages may have been lost, or another server answers: sees to it that everything is there. `lost`: it is known that it is not. */
  restore(lost: boolean): Promise<void> {
    return this.#own.restore(lost);
  }

  /** The entries of this process were given up by others. Resolves when none of the old owner's can be left. */
  fence(owner: string): Promise<void> {
    const before = this.#own;
    this.#own = new OwnEntries({ ...this.deps, owner });
    return before.end();
  }

  /** Removes all that is this process's own. */
  close(): Promise<void> {
    return this.#own.end();
  }
}
