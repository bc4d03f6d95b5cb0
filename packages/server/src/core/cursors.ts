/**
 * Cursors of sessions whose transport tells them apart from the frames. Live subscriptions to the same channels stand at the same
 * positions, so a thousand streams of one page have one cursor: the last one made is kept.
 */
import { encodeCursor, type Position } from "@longwire/protocol";
import { Disconnect } from "../base/failures.ts";
import type { Session, Subscription } from "./model.ts";
import type { Outbox } from "./outbox.ts";

export class Cursors {
  #lastKey = "";
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
    if (subscriptions.length === 0) return undefined;
    let key = "";
    for (const subscription of subscriptions) {
      const offset = offsetOf(subscription);
      if (offset < 0) return undefined;
      key += `${subscription.channel.name},${subscription.channel.epoch},${offset},`;
    }
    if (key === this.#lastKey) return this.#lastCursor;
    const cursor = encodeCursor(new Map(subscriptions.map(positionOf)));
    if (cursor === undefined) {
      this.goodbye(session, new Disconnect("badRequest", "the session has more channels than a cursor holds"));
      return undefined;
    }
    this.#lastKey = key;
    this.#lastCursor = cursor;
    return cursor;
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
