/**
 * Cursors of sessions whose transport tells them apart from the frames. Live subscriptions to the same channels stand at the same
 * positions, so a thousand streams of one page have one cursor: the last one made is kept.
 */
import { encodeCursor, type Position } from "@longwire/protocol";
import { Disconnect } from "../base/failures.ts";
import type { LocalChannel, Session, Subscription } from "./model.ts";
import type { Outbox } from "./outbox.ts";

export class Cursors {
  /** The channels of the last cursor, and the offset in each. */
  #lastChannels: LocalChannel[] = [];
  #lastOffsets: number[] = [];
  #lastEpochs: string[] = [];
  #lastCursor = "";

  constructor(
    private readonly outbox: Outbox,
    private readonly goodbye: (session: Session, goodbye: Disconnect) => void,
  ) {}

  /** See `Gateway.cursor`. */
  of(session: Session): string | undefined {
    if (session.protocol.cursorApart !== true || session.state !== "open") return undefined;
    this.outbox.flush(session);
    const { subscriptions } = session;
    if (subscriptions.length === 0) return "";
    if (this.#isLast(subscriptions)) return this.#lastCursor;
    if (subscriptions.some((subscription) => offsetOf(subscription) < 0)) return undefined;
    const cursor = encodeCursor(new Map(subscriptions.map(positionOf)));
    if (cursor === undefined) {
      this.goodbye(session, new Disconnect("badRequest", "the session has more channels than a cursor holds"));
      return undefined;
    }
    this.#lastChannels = subscriptions.map(({ channel }) => channel);
    this.#lastOffsets = subscriptions.map(offsetOf);
    this.#lastEpochs = subscriptions.map(({ channel }) => channel.epoch);
    this.#lastCursor = cursor;
    return cursor;
  }

  /** Compared without making anything: it is asked for every stream of several channels in every turn that brings something. */
  #isLast(subscriptions: readonly Subscription[]): boolean {
    const { length } = subscriptions;
    if (length !== this.#lastChannels.length) return false;
    for (let index = 0; index < length; index++) {
      const subscription = subscriptions[index] as Subscription;
      const { channel } = subscription;
      const isSame = channel === this.#lastChannels[index] && offsetOf(subscription) === this.#lastOffsets[index];
      if (!isSame || channel.epoch !== this.#lastEpochs[index]) return false;
    }
    return true;
  }
}

function positionOf(subscription: Subscription): [string, Position] {
  const { name, epoch } = subscription.channel;
  return [name, { epoch, offset: offsetOf(subscription) }];
}

/** Up to where it has everything; -1: `subscribed` has not been said yet. */
function offsetOf({ reach, position, channel }: Subscription): number {
  return reach === "catching" ? position : channel.delivered;
}
