/** Authority: who is behind a credential. */
import type { Json } from "@longwire/protocol";

export type Action = "subscribe" | "publish" | "presence" | "history";

/** Patterns of channels per action; `*` stands for any run of characters. An action that is missing is not allowed. */
export type Allow = Readonly<Partial<Record<Action, readonly string[]>>>;

/** What a credential says. */
export interface Identity {
  readonly user: string | undefined;
  /** Unix milliseconds. */
  readonly expiresAt: number | undefined;
  /** Unix milliseconds; undefined where it does not say. */
  readonly issuedAt?: number | undefined;
  /** Channels the server subscribes by itself. */
  readonly channels: readonly string[];
  /** Shown to others in presence. */
  readonly info: Json | undefined;
  readonly allow: Allow | undefined;
  /** Nothing has to be renewed when it expires: whoever connects again is known again, or not. */
  readonly anew?: true;
}

export interface Authority {
  /** Rejects with `ReplyError(badToken | tokenExpired)`, or with `unavailable` while it cannot be known. */
  identify(token: string): Promise<Identity>;
  /** Checks a token for one channel; resolves, to `issuedAt`, if it is good for this user and channel, else rejects as above. */
  admit(token: string, channel: string, user: string | undefined): Promise<number | undefined>;
}
