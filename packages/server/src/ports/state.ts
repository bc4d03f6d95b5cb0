/**
 * StateStore: small shared things outside channels: values and counters of the application, records of sessions that may be
 * resumed, acknowledged positions (inboxes).
 *
 * Promises: every call is atomic; a resolved write survives what the engine survives; an expired key is as if never set.
 */
import type { Position } from "@longwire/protocol";

export interface StateStore {
  /** JSON text of the value, or undefined. */
  get(key: string): Promise<string | undefined>;
  /** `ttlMs` undefined: for ever. `value` is JSON text. */
  set(key: string, value: string, ttlMs: number | undefined): Promise<void>;
  /**
   * Adds to a number (missing: 0) and resolves to the sum; a value that is no number is `ReplyError(badField)`. `ttlMs` undefined
   * leaves the expiry of an existing key as it is.
   */
  add(key: string, amount: number, ttlMs: number | undefined): Promise<number>;
  /** Resolves to whether there was such a key. */
  remove(key: string): Promise<boolean>;

  /** The acknowledged position of a holder (a user, or a user's device) in a channel. */
  position(channel: string, holder: string): Promise<Position | undefined>;
  /**
   * Moves it, within one epoch only forwards; another epoch replaces it. Resolves to the position that holds now. Positions
   * are forgotten together with the numbering of their channel.
   */
  acknowledge(channel: string, holder: string, position: Position): Promise<Position>;
}
