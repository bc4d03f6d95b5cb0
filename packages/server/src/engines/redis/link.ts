/**
 * Link: the way to Redis, however it is set up. What the parts of this engine ask of it; `link-open.ts` opens one.
 *
 * Promises:
 * - Calls of one turn of the event loop share a write. Calls whose keys share a hash tag are carried out in the order in which they were made.
 * - Nothing is ever sent twice by itself: a call whose connection broke rejects with `AnswerLost`.
 * - While Redis is away calls reject at once with `ReplyError(unavailable)`; so does what Redis refuses because of the state it is in (a replica,
 *   loading, no memory). Any other refusal rejects with `RedisRefusal`: a bug, or a wrong type at a key that is not ours.
 * - Messages of a channel that is followed come in the order in which they were published, and before the answer to a call that was made by
 *   this link behind them. When some may have been lost, `onReturn` says so.
 */
import { hash } from "node:crypto";
import type { Identity } from "./connection.ts";

/** A Lua script. Redis knows it by its hash. */
export interface Script {
  readonly source: string;
  readonly sha: string;
}

const SCRIPTS: Script[] = [];

/** To be called while modules are loaded. */
export function scriptOf(source: string): Script {
  const script = { source, sha: hash("sha1", source, "hex") };
  SCRIPTS.push(script);
  return script;
}

/** All there are: a server is told of them before it is used, since one that it does not know would be carried out behind calls that were made after it. */
export function allScripts(): readonly Script[] {
  return SCRIPTS;
}

/** A message as it was published: bytes, since most are handed on without being read as a whole. */
export type Listener = (message: Buffer) => void;

export interface Link {
  /** All keys have one hash tag (`keys.ts`). `durable`: with `waitReplicas`, resolves when so many replicas have it, else `unavailable`. */
  run(script: Script, keys: readonly string[], args: readonly string[], durable?: boolean): Promise<unknown>;
  /** As `run`, for answers that may be long, about `bytes`: a few are on their way at a time (`answer-budget.ts`). */
  read(script: Script, keys: readonly string[], args: readonly string[], bytes: number): Promise<unknown>;
  /** A plain command; `key` says which server. */
  call(key: string, command: readonly string[]): Promise<unknown>;
  /** What publishes here: `SPUBLISH` on Cluster, where the channel has to share the hash tag of the script's keys. */
  readonly publishCommand: "PUBLISH" | "SPUBLISH";
  /**
   * Resolves when Redis has confirmed it, to whether calls made after this one are carried out behind it: on a Cluster it may be sent elsewhere first. One listener per channel: a second one takes its
   * place. It is followed until `unfollow`, again by itself when the connection comes back; if it rejects, it is not followed.
   */
  follow(channel: string, listener: Listener): Promise<boolean>;
  unfollow(channel: string): void;
  /** Messages may have been lost, or another server answers: all that is followed has been followed again, look for holes now. */
  onReturn(listener: () => void): void;
  /** How Redis knows the connections of this link. */
  readonly connections: readonly Identity[];
  /** Ends connections of another one. Rejects where that is not allowed. */
  endConnections(identities: readonly Identity[]): Promise<void>;
  /** Why Redis cannot be used right now. */
  readonly fault: string | undefined;
  close(): Promise<void>;
}

export interface LinkSettings {
  readonly mode: "single" | "sentinel" | "cluster";
  readonly urls: readonly string[];
  /** Name of the master, for Sentinel. */
  readonly master: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly sentinelUser: string | undefined;
  readonly sentinelPassword: string | undefined;
  readonly database: number;
  /** Authorities in PEM text. */
  readonly ca: string | undefined;
  readonly prefix: string;
  readonly waitReplicas: number;
}
