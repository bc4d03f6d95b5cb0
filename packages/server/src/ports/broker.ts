/**
 * Broker: numbers, keeps and hands on the publications of channels.
 *
 * Promises of every implementation (test/contracts/broker.ts checks them):
 * - Offsets of a channel are 1, 2, 3, … in the order in which `publish` was called on one node.
 * - A publication is handed to the sink, and its `publish` resolves, only after it is kept as durably as the engine says;
 *   the sink comes first. If it cannot be kept, `publish` rejects with `ReplyError(unavailable)` and no offset is used up.
 * - The sink sees the publications of a channel in offset order, each once, from the moment `subscribe` resolves until
 *   `unsubscribe`; where the order of several channels in one call to the store is known, it is kept too.
 * - Methods never block the event loop for longer than one commit.
 */
import type { Member, Position } from "@longwire/protocol";

/** What a publisher hands in. `data` is JSON text. */
export interface Draft {
  readonly data: string;
  /** `data` is a JSON string of base64 that stands for bytes. */
  readonly encoding?: "base64" | undefined;
  readonly name?: string | undefined;
  /** The publisher's identity, shown to subscribers. */
  readonly user?: string | undefined;
  /** The publisher's session: subscriptions with `echo: false` of that session do not get it. */
  readonly session?: string | undefined;
  /** A session that must not get it, whatever its subscriptions say. */
  readonly exclude?: string | undefined;
  /** Idempotency key, see `publish`. */
  readonly key?: string | undefined;
  /** `false`: hand it to those connected now, neither number nor keep it. */
  readonly keep: boolean;
}

/** A publication on its way out. `offset` is 0 where it was not numbered. `time`: Unix milliseconds. */
export interface Publication {
  readonly offset: number;
  readonly time: number;
  readonly data: string;
  readonly encoding: "base64" | undefined;
  readonly name: string | undefined;
  readonly user: string | undefined;
  readonly session: string | undefined;
  readonly exclude: string | undefined;
}

/** The answer to a publish. `repeated`: the idempotency key was known, nothing was stored, this is the first answer again. */
export interface Published extends Position {
  readonly repeated: boolean;
  /** How many processes follow the channel, this one included; absent where there is only this one. */
  readonly followers?: number;
}

/** How much of a channel is kept. `size` 0: numbered, but nothing kept. */
export interface Retention {
  readonly size: number;
  readonly ttlMs: number;
}

/** What to read. At least one publication is returned if there is one, however large. */
export interface HistoryQuery {
  /** Publications after this position; with `reverse`, before it (`latest`: from the top downwards). */
  readonly from: Position | "earliest" | "latest";
  readonly reverse?: boolean;
  readonly limit: number;
  /** Stop after so many bytes, counted as `entryBytes` does. */
  readonly bytesMax: number;
}

/** What an entry of a history has beside its data, name and user: braces, field names, offset and time. */
const ENTRY_OVERHEAD_BYTES = 64;

/** About what a publication takes in an answer as JSON. Its data alone would not do: a page of a million numbers is a long page. */
export function entryBytes({ data, name, user }: Pick<Publication, "data" | "name" | "user">): number {
  return ENTRY_OVERHEAD_BYTES + Buffer.byteLength(data) + textBytes(name) + textBytes(user);
}

/** Printed, since a control character takes six bytes of JSON. */
function textBytes(text: string | undefined): number {
  return text === undefined ? 0 : Buffer.byteLength(JSON.stringify(text));
}

export interface HistoryPage {
  readonly top: Position;
  /**
   * Whether the page begins right after (before) `from`: false for a position of another epoch, from the future, or
   * whose successor is no longer kept. Then the page is empty. `earliest` and `latest` always reach.
   */
  readonly reached: boolean;
  /** In the direction asked. */
  readonly publications: readonly Publication[];
  /** There is more in this direction. */
  readonly more: boolean;
}

/** A channel that the broker knows. `kept`: publications in its history. */
export interface BrokerChannel {
  readonly channel: string;
  readonly top: Position;
  readonly kept: number;
}

export interface Broker {
  /**
   * Assigns the next offset, keeps the publication and hands it to the sink, in one atomic step per channel. With a key that
   * was used on this channel within the idempotency window: the first answer again, or `ReplyError(conflict)` if `data`,
   * `encoding` or `name` differ. A new key for which there is no room is `ReplyError(unavailable)`.
   */
  publish(channel: string, draft: Draft): Promise<Published>;
  /** From its resolution on, everything after the returned top goes to the sink. Calls are not counted: twice is once. */
  subscribe(channel: string): Promise<Position>;
  unsubscribe(channel: string): void;
  history(channel: string, query: HistoryQuery): Promise<HistoryPage>;
  /** Forgets what is kept of the channel; its numbering goes on. */
  clear(channel: string): Promise<void>;
  /** Known channels in name order, after a name, at most `limit`. */
  channels(query: {
    readonly after?: string;
    readonly prefix?: string;
    readonly limit: number;
  }): Promise<BrokerChannel[]>;
}

/** Who takes what the engine hands on: the hub. Calls must not throw. */
export interface Sink {
  publication(channel: string, epoch: string, publication: Publication): void;
  /** A person has come into the channel, or left it, wherever its session is; for every channel that is subscribed here. */
  event(type: "join" | "leave", channel: string, member: Member): void;
  /**
   * This is how far a subscribed channel has come, said after a time in which messages may have been lost: whoever has less
   * reads the rest from the history.
   */
  top(channel: string, position: Position): void;
  /**
   * Others took this process for dead and ended its sessions (presence, counts). It lives, so its clients have to come back as if it had
   * died.
   */
  fenced(): void;
}
