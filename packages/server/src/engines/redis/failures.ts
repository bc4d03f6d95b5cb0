/** What can go wrong between here and Redis. */
import { ReplyError } from "../../base/failures.ts";

/**
 * The connection broke while the command was on its way: it may have been carried out, or not. Whoever sent it finds out, sends it again
 * if that does no harm, or says `unavailable`.
 */
export class AnswerLost extends Error {
  constructor(reason: string) {
    super(`the answer of Redis was lost: ${reason}`);
  }
}

/** What Redis said instead of an answer. */
export class RedisRefusal extends Error {
  /** Its first word, such as `READONLY`. */
  readonly word: string;

  constructor(message: string) {
    super(message);
    this.word = message.split(" ", 1)[0] ?? "";
  }
}

/** It was surely not carried out. */
export function notSent(reason: string): ReplyError {
  return new ReplyError("unavailable", reason);
}

/** Why Redis cannot be used, in words for whoever runs it. */
export class LinkFault extends Error {
  constructor(
    message: string,
    readonly advice: string,
    /** Waiting does not mend it. */
    readonly lasting: boolean,
  ) {
    super(message);
  }
}

/** Refusals that are states of the server, not faults of the command: nothing was carried out, and later it may work. */
const STATES: Readonly<Record<string, string>> = {
  READONLY: "is a replica that cannot be written to",
  LOADING: "is loading its data",
  MASTERDOWN: "is a replica that has lost its master",
  MISCONF: "does not take writes, since it cannot save its data",
  OOM: "has no memory left (maxmemory)",
  NOREPLICAS: "does not take writes, since it has too few replicas (min-replicas-to-write)",
  BUSY: "is busy with a script",
  CLUSTERDOWN: "is part of a Cluster that is down",
  NOPERM: "does not allow this user what the gateway needs",
  NOAUTH: "wants a password",
  WRONGPASS: "does not accept user and password",
  MAXCLIENTS: "has no connection left (maxclients)",
};

/** What a script may say instead of one of the words above. */
const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/can't run this command|can't access at least one of the keys|Unknown Redis command|no permissions/i, "NOPERM"],
  [/max number of clients/i, "MAXCLIENTS"],
];

/** The state of the server that a refusal tells of; undefined for a fault of the command. */
export function stateOf({ word, message }: RedisRefusal): string | undefined {
  if (word !== "ERR") return STATES[word];
  const sentence = SENTENCES.find(([pattern]) => pattern.test(message));
  return sentence === undefined ? undefined : STATES[sentence[1]];
}
