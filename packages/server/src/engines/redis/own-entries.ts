/**
 * What this process wants to be present, kept here as well as in Redis: what could not be written because Redis was away is owed, and written when
 * it is back; what Redis has lost is put again.
 *
 * A `put` that cannot be done is refused and what was there before holds, also where the answer was lost and it may have been done: that is
 * owed then. A `drop` is always a promise: it resolves, and what could not be removed is owed.
 *
 * Per tag one script is on its way at a time, with what has gathered meanwhile: changes of a room stay in order, and where many come at
 * once they share the way.
 */
import type { Member } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import { forEach, orUnavailable } from "./answers.ts";
import { tagOf } from "./keys.ts";
import type { Link } from "./link.ts";
import { type Entry, entryOf } from "./presence-entry.ts";
import { changeEntries, ownKey, type Step, sweepOwner } from "./sweep.ts";

/** What one script changes, at most. */
const BATCH = 64;
const BATCH_LENGTH = 256 * 1024;

/** Tags whose entries are put again at once: everybody does it at the same time. */
const RESTORING_AT_ONCE = 4;

export interface OwnEntriesDeps {
  readonly link: Link;
  readonly prefix: string;
  readonly owner: string;
  readonly log: Logger;
}

interface Change extends Step {
  /** What is wanted if it cannot be done. */
  fallback: Entry | undefined;
  readonly settle: ((failure?: unknown) => void)[];
}

/** The entries of the rooms of one tag, by `channel \n session`. */
class Part {
  readonly wanted = new Map<string, Entry>();
  /** To be sent, in order. */
  readonly changes = new Map<string, Change>();
  /** To be sent when Redis is back. */
  readonly owed = new Map<string, Change>();
  sending: Promise<void> | undefined;
  /** The life of the server's data that had everything. */
  replication = "";

  constructor(readonly tag: string) {}
}

export class OwnEntries {
  readonly #parts = new Map<string, Part>();
  #restoring: Promise<void> | undefined;
  #restoreAgain = false;
  #lost = false;
  #ended = false;

  constructor(private readonly deps: OwnEntriesDeps) {}

  put(channel: string, member: Member): Promise<void> {
    if (this.#ended) return Promise.reject(new ReplyError("unavailable", "the server is stopping"));
    const part = this.#part(tagOf(channel));
    const id = idOf(channel, member.session);
    const entry = entryOf(member);
    const known = part.changes.get(id);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const settle = (failure?: unknown): void => (failure === undefined ? resolve() : reject(failure));
    const fallback = known === undefined ? part.wanted.get(id) : known.fallback;
    part.wanted.set(id, entry);
    this.#change(part, { id, sign: "+", entry, fallback, settle: [...(known?.settle ?? []), settle] });
    return promise;
  }

  drop(channel: string, session: string): Promise<void> {
    const part = this.#part(tagOf(channel));
    const id = idOf(channel, session);
    const known = part.changes.get(id);
    if (!part.wanted.delete(id) && known === undefined) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = [...(known?.settle ?? []), () => resolve()];
    this.#change(part, { id, sign: "-", entry: undefined, fallback: undefined, settle });
    return promise;
  }

  #part(tag: string): Part {
    let part = this.#parts.get(tag);
    if (part === undefined) {
      part = new Part(tag);
      this.#parts.set(tag, part);
    }
    return part;
  }

  #change(part: Part, change: Change): void {
    part.owed.delete(change.id);
    part.changes.set(change.id, change);
    void this.#send(part);
  }

  /** Resolves when nothing is left to be sent now. Never rejects. */
  #send(part: Part): Promise<void> {
    part.sending ??= this.#sendAll(part);
    return part.sending;
  }

  async #sendAll(part: Part): Promise<void> {
    // What comes in the same turn goes along.
    await Promise.resolve();
    while (part.changes.size > 0) {
      const batch = takeBatch(part);
      try {
        await changeEntries(this.deps, part.tag, batch);
        for (const { settle } of batch) for (const done of settle) done();
      } catch (error) {
        this.#failed(part, batch, error);
      }
    }
    // In the turn in which there was nothing left: whoever comes next begins anew.
    part.sending = undefined;
  }

  #failed(part: Part, batch: readonly Change[], failure: unknown): void {
    if (!(failure instanceof ReplyError)) this.deps.log.error("presence cannot be written", { error: failure });
    for (const { id, sign, entry, fallback, settle } of batch) {
      const next = part.changes.get(id);
      if (next !== undefined) {
        // It was to hold if the next one fails.
        if (next.fallback === entry) next.fallback = fallback;
      } else {
        const holds = sign === "+" ? fallback : entry;
        if (holds === undefined) part.wanted.delete(id);
        else part.wanted.set(id, holds);
        part.owed.set(id, { id, sign: holds === undefined ? "-" : "=", entry: holds, fallback: holds, settle: [] });
      }
      for (const done of settle) done(failure);
    }
  }

  /** Tries again what is owed. */
  settle(): void {
    if (this.#ended || this.deps.link.fault !== undefined) return;
    for (const part of this.#parts.values()) if (part.owed.size > 0) void this.#sendOwed(part);
  }

  #sendOwed(part: Part): Promise<void> {
    for (const [id, change] of part.owed) if (!part.changes.has(id)) part.changes.set(id, change);
    part.owed.clear();
    return this.#send(part);
  }

  /** Never rejects: what cannot be done now is tried again at the next return, or the next look. */
  restore(lost: boolean): Promise<void> {
    this.#lost ||= lost;
    this.#restoreAgain = true;
    this.#restoring ??= this.#restoreAll();
    return this.#restoring;
  }

  async #restoreAll(): Promise<void> {
    // Not in the turn in which it is begun: it is noted by then that it was.
    await Promise.resolve();
    while (this.#restoreAgain && !this.#ended) {
      this.#restoreAgain = false;
      if (this.#lost) for (const part of this.#parts.values()) part.replication = "";
      this.#lost = false;
      try {
        await forEach([...this.#parts.values()], RESTORING_AT_ONCE, (part) => this.#restore(part));
      } catch (error) {
        if (!(error instanceof ReplyError)) this.deps.log.error("presence cannot be restored", { error });
      }
    }
    this.#restoring = undefined;
  }

  /** Compares what is there with what is wanted, unless the data are known to be what they were. */
  async #restore(part: Part): Promise<void> {
    if (this.#ended) return;
    const replication = await this.#replicationOf(part);
    if (replication !== part.replication) {
      for (const id of await this.#listed(part)) if (!part.wanted.has(id)) owe(part, id, undefined);
      for (const [id, entry] of part.wanted) owe(part, id, entry);
    }
    await this.#sendOwed(part);
    if (part.owed.size === 0) part.replication = replication;
  }

  /** Another one after a failover or a restart. */
  async #replicationOf({ tag }: Part): Promise<string> {
    const text = await orUnavailable(this.deps.link.call(ownKey(this.deps, tag), ["INFO", "replication"]));
    return /master_replid:(\w+)/.exec(String(text))?.[1] ?? "unknown";
  }

  async #listed({ tag }: Part): Promise<string[]> {
    const key = ownKey(this.deps, tag);
    const ids: string[] = [];
    let cursor = "0";
    do {
      const command = ["SSCAN", key, cursor, "COUNT", "500"];
      const answer = (await orUnavailable(this.deps.link.call(key, command))) as [unknown, unknown[]];
      cursor = String(answer[0]);
      for (const id of answer[1]) ids.push(String(id));
    } while (cursor !== "0");
    return ids;
  }

  /** Nothing is put any more. Resolves when nothing is left; rejects with `ReplyError` if that cannot be seen to. */
  async end(): Promise<void> {
    this.#ended = true;
    const parts = [...this.#parts.values()];
    for (const { wanted, owed } of parts) {
      wanted.clear();
      owed.clear();
    }
    await this.#restoring;
    // What is on its way must not come behind the removal.
    for (const { sending } of parts) await sending;
    await sweepOwner(this.deps);
  }
}

function idOf(channel: string, session: string): string {
  return `${channel}\n${session}`;
}

function owe(part: Part, id: string, entry: Entry | undefined): void {
  // What is on its way says it better.
  if (part.changes.has(id)) return;
  part.owed.set(id, { id, sign: entry === undefined ? "-" : "=", entry, fallback: entry, settle: [] });
}

function takeBatch({ changes }: Part): Change[] {
  const batch: Change[] = [];
  let length = 0;
  for (const change of changes.values()) {
    length += change.entry?.rest.length ?? 0;
    if (batch.length === BATCH || (batch.length > 0 && length > BATCH_LENGTH)) break;
    batch.push(change);
    changes.delete(change.id);
  }
  return batch;
}
