/**
 * StateStore: small shared things outside channels: values and counters of the application, records of sessions that may be
 * resumed, acknowledged positions (inboxes).
 *
 * Promises: every call is atomic; a resolved write survives what the engine survives; an expired key is as if never set.
 */
import type { Position } from "@longwire/protocol";

/** Clients choose the names of their devices, so somebody could invent them without end. */
export const DEVICES_MAX = 100;

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
  /** Lets an existing key live for so long from now on, whatever was said before. Resolves to whether there is such a key. */
  touch(key: string, ttlMs: number): Promise<boolean>;
  /** Resolves to whether there was such a key. */
  remove(key: string): Promise<boolean>;

  /** The acknowledged position of a holder (`user`, or `user,device`: no user's name has a comma) in a channel. */
  position(channel: string, holder: string): Promise<Position | undefined>;
  /**
   * Moves it, within one epoch only forwards; another epoch replaces it. Resolves to the position that holds now. Positions
   * are forgotten together with the numbering of their channel. Of a user at most `DEVICES_MAX` devices are kept in a channel: for
   * a further one, the one whose position was moved longest ago is forgotten.
   */
  acknowledge(channel: string, holder: string, position: Position): Promise<Position>;
}
