/** What a broker does inside a transaction. */
import type { Draft, Published, Sink } from "../../ports/broker.ts";
import { digestOf, type KeyedAnswer } from "../idempotency.ts";
import type { Task } from "./committer.ts";
import type { Shelf } from "./shelf.ts";
import type { StoredChannel } from "./stored-channel.ts";

/** What a task weighs in the queue beside its data. */
const OVERHEAD_BYTES = 200;

export class PublishTask implements Task {
  readonly writes: boolean;
  readonly bytes: number;
  #channel: StoredChannel | undefined;
  /** As it is told: a later task of this turn may begin another. */
  #epoch = "";
  #offset = 0;
  #row = 0;
  #time = 0;
  /** The first answer to the same key. */
  #first: KeyedAnswer | undefined;
  #keyed = false;

  constructor(
    readonly shelf: Shelf,
    readonly sink: Sink,
    readonly name: string,
    readonly draft: Draft,
    /** To the database; else it is numbered in memory alone, or not at all. */
    readonly stored: boolean,
    readonly resolve: (published: Published) => void,
    readonly reject: (error: Error) => void,
  ) {
    this.writes = stored || draft.key !== undefined;
    this.bytes = draft.data.length + OVERHEAD_BYTES;
  }

  stage(now: number): void {
    const { shelf, draft, name } = this;
    const digest = draft.key === undefined ? "" : digestOf(draft);
    if (draft.key !== undefined) {
      this.#first = shelf.keys.find(name, draft.key, digest, now);
      if (this.#first !== undefined) return;
    }
    const channel = shelf.open(name, now);
    this.#channel = channel;
    this.#time = now;
    this.#offset = draft.keep ? channel.staged + 1 : channel.staged;
    if (this.stored) this.#row = shelf.insert(channel, this.#offset, now, draft);
    else if (draft.keep) shelf.takeOut(channel);
    channel.staged = this.#offset;
    this.#epoch = channel.epoch;
    if (draft.key === undefined) return;
    shelf.insertKey(name, draft.key, digest, this.#epoch, this.#offset, now);
    this.#keyed = true;
  }

  undo(): void {
    if (this.#channel !== undefined) this.#channel.staged = this.#channel.top;
    if (this.#keyed && this.draft.key !== undefined) this.shelf.keys.remove(this.name, this.draft.key);
    this.#channel = undefined;
    this.#first = undefined;
    this.#keyed = false;
  }

  settle(): void {
    const first = this.#first;
    const channel = this.#channel;
    if (first !== undefined) {
      this.resolve({ epoch: first.epoch, offset: first.offset, repeated: true });
    } else if (channel === undefined) {
      this.reject(new Error("a publication was settled without being staged"));
    } else {
      this.#deliver(channel);
    }
  }

  #deliver(channel: StoredChannel): void {
    const { data, encoding, name, user, session, exclude, keep } = this.draft;
    const offset = this.#offset;
    const time = this.#time;
    const epoch = this.#epoch;
    const publication = { offset: keep ? offset : 0, time, data, encoding, name, user, session, exclude };
    channel.usedAt = time;
    if (keep) this.shelf.append(channel, this.#row, publication);
    try {
      if (channel.subscribed) this.sink.publication(this.name, epoch, publication);
    } finally {
      this.resolve({ epoch, offset, repeated: false });
    }
  }

  fail(error: Error): void {
    this.reject(error);
  }
}

export class ClearTask implements Task {
  readonly writes = true;
  readonly bytes = OVERHEAD_BYTES;
  #channel: StoredChannel | undefined;
  #upTo = 0;
  #floor = 0;

  constructor(
    readonly shelf: Shelf,
    readonly name: string,
    readonly resolve: () => void,
    readonly reject: (error: Error) => void,
  ) {}

  stage(): void {
    const channel = this.shelf.channels.get(this.name);
    if (channel === undefined) return;
    this.#channel = channel;
    this.#upTo = channel.staged;
    this.#floor = channel.floor;
    channel.floor = channel.staged;
    this.shelf.write(channel);
  }

  undo(): void {
    if (this.#channel !== undefined) this.#channel.floor = this.#floor;
    this.#channel = undefined;
  }

  settle(): void {
    if (this.#channel !== undefined) this.shelf.clear(this.#channel, this.#upTo);
    this.resolve();
  }

  fail(error: Error): void {
    this.reject(error);
  }
}

/** Forgets the numbering of a channel that has not been used for long, unless it was used since this was asked. */
export class ForgetTask implements Task {
  readonly writes = true;
  readonly bytes = 0;
  #forgotten = false;

  constructor(
    readonly shelf: Shelf,
    readonly channel: StoredChannel,
    readonly done: () => void,
  ) {}

  stage(now: number): void {
    const { shelf, channel } = this;
    if (channel.staged !== channel.top || !shelf.isForgettable(channel, now)) return;
    shelf.forget(channel);
    this.#forgotten = true;
  }

  undo(): void {
    if (this.#forgotten) this.shelf.remember(this.channel);
    this.#forgotten = false;
  }

  settle(): void {
    this.done();
  }

  fail(): void {
    // The walk comes by again.
    this.done();
  }
}
