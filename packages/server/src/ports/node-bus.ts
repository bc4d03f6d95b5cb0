/**
 * NodeBus: the other processes that serve the same channels: workers of this node, workers of other nodes. Each is a peer. The bus carries
 * questions between peers and their answers; what is published goes through the broker.
 *
 * Promises of every implementation (test/contracts/node-bus.ts checks them):
 * - Questions of one peer to another arrive in the order in which they were asked. Answers come when they come.
 * - A question is answered once, or it fails with `ReplyError(unavailable)`: its peer is gone, does not answer within `ASK_MS`, or threw. What
 *   the peer refused (`ReplyError`) comes back as that.
 * - A peer that has died is no peer any more within the engine's expiry.
 */
import type { Json } from "@longwire/protocol";

/** How long an answer is waited for. */
export const ASK_MS = 2000;

/** Marks of peers are so long: ids of sessions end with that of the peer that made them. */
export const PEER_LENGTH = 6;

/** What another peer asked: never rejects but with `ReplyError`, or it is a bug, which the asker sees as `unavailable`. */
export type Answering = (question: Json, from: string) => Promise<Json>;

export interface Answers {
  readonly answers: readonly { readonly peer: string; readonly answer: Json }[];
  /** Peers that did not answer, or refused. */
  readonly missing: number;
}

export interface NodeBus {
  /** The mark of this process: random, another one at each start. Empty where it is alone for good. */
  readonly self: string;
  /** Others that live, as far as is known here. Always empty where this process is alone for good. */
  peers(): readonly string[];
  /** Who answers what others ask. Called once, in the turn in which the engine was opened. */
  listen(answering: Answering): void;
  /** `peer` may be gone, or never have been: `ReplyError(unavailable)`. */
  ask(peer: string, question: Json): Promise<Json>;
  /** Asks all others at once. Never rejects. */
  askAll(question: Json): Promise<Answers>;
}

/** Of an engine that serves one process. */
export const ALONE: NodeBus = Object.freeze({
  self: "",
  peers: () => [],
  listen: () => undefined,
  ask: () => Promise.reject(new Error("nobody else is there to be asked")),
  askAll: () => Promise.resolve({ answers: [], missing: 0 }),
});
