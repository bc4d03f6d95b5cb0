/** Positions, publications and members: what channels hold. */

/**
 * Where a reader stands in a channel: it has everything up to and including `offset`.
 *
 * The epoch names one life of the channel's numbering. Without it a client that holds offset 70 of a channel whose history
 * was lost, and that meanwhile numbers 1 to 80 anew, would silently skip 70 publications it never saw; with it the
 * server sees that 70 belongs to another life and says `recovered: false`.
 */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/**
 * Where a subscription starts. `earliest`: the oldest publication still kept. `latest`: what comes from now on.
 * `inbox`: the position this user (or this user's device) has acknowledged, or the oldest kept if there is none.
 */
export type Since = Position | "earliest" | "latest" | "inbox";

/** A JSON value as it stands in a frame. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/** One subscribed session, as others see it. `info` comes from its token, `data` from its own `subscribe`: believe the first only. */
export interface Member {
  readonly session: string;
  readonly user?: string;
  readonly info?: Json;
  readonly data?: Json;
}

/** A publication as history shows it. `time` is the server's clock at publishing, in Unix milliseconds. */
export interface HistoryEntry {
  readonly offset: number;
  readonly data: Json;
  /** `data` is base64 that stands for bytes. */
  readonly encoding?: "base64";
  readonly name?: string;
  readonly user?: string;
  readonly time: number;
}
