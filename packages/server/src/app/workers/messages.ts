/** What the supervisor and a worker say to each other beside the engine: little, and never about a client. */
import type { LogFormat } from "../../base/log.ts";
import type { Config } from "../../config/schema.ts";
import type { Capacity } from "../capacity.ts";

/** Set for workers, so that whoever looks at processes can tell them apart; the rest comes in `start`. */
export const WORKER_ENVIRONMENT = "LONGWIRE_WORKER";

/** What a worker is given. */
export interface Place {
  /** Counted from 1, as the log does. */
  readonly number: number;
  readonly workers: number;
  /** Descriptors, in the order of `Inheritance`. */
  readonly web: readonly number[];
  readonly tcp: readonly number[];
  /** The socket at which the supervisor serves its engine; undefined: the worker opens its own. */
  readonly engineSocket: string | undefined;
  readonly logFormat: LogFormat;
}

export type ToWorker =
  /** The configuration comes from the supervisor, so that a worker started later runs by no other than those that are there. */
  | { readonly type: "start"; readonly config: Config; readonly place: Place }
  | { readonly type: "reload"; readonly config: Config }
  /** Another worker accepts from its sockets: it lets go of them. */
  | { readonly type: "let-go" }
  | { readonly type: "stop" }
  | { readonly type: "hurry" }
  | { readonly type: "beat" };

export type FromWorker =
  | { readonly type: "hello"; readonly version: string }
  | { readonly type: "ready"; readonly capacity: Capacity["shown"] }
  /** It cannot start, and ends. */
  | { readonly type: "refused"; readonly message: string; readonly advice: string }
  | { readonly type: "beat" }
  /** It has taken over what `reload` brought, or could not and has said so in the log. */
  | { readonly type: "reloaded" }
  /** Somebody has asked this worker alone to stop. */
  | { readonly type: "leaving" };
