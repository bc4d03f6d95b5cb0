/**
 * Cursors of sessions whose transport tells them apart from the frames. Live subscriptions to the same channels stand at the same
 * positions, so a thousand streams of one page have one cursor. It is asked for every one of them in every turn that brings something:
 * looking through the subscriptions of each took as long as a quarter of the write (measured), so sessions that follow the same channels share a group.
 */
import { encodeCursor, type Position } from "@longwire/protocol";
import { Disconnect } from "../base/failures.ts";
import { CursorGroup, type Session, type Subscription } from "./model.ts";
import type { Outbox } from "./outbox.ts";

export class Cursors {
  /** The group made last: those who come next mostly follow the same channels. */
  #last = new CursorGroup([]);

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
    const group = session.cursorGroup ?? this.#join(session);
    if (group !== null) return group.isFresh() ? group.cursor : this.#renew(session, group);
    if (subscriptions.some((subscription) => offsetOf(subscription) < 0)) return undefined;
    return this.#encode(session, subscriptions.map(positionOf));
  }

  /** null while one of its subscriptions is not live: that stands where no other does. */
  #join(session: Session): CursorGroup | null {
    const { subscriptions } = session;
    if (subscriptions.some(({ reach }) => reach === "catching")) return null;
    const { channels } = this.#last;
    const isSame =
      subscriptions.length === channels.length && subscriptions.every(({ channel }, at) => channel === channels[at]);
    if (!isSame) this.#last = new CursorGroup(subscriptions.map(({ channel }) => channel));
    session.cursorGroup = this.#last;
    return this.#last;
  }

  #renew(session: Session, group: CursorGroup): string | undefined {
    const positions = group.channels.map(({ name, epoch, delivered }): [string, Position] => [
      name,
      { epoch, offset: delivered },
    ]);
    const cursor = this.#encode(session, positions);
    if (cursor !== undefined) group.renew(cursor);
    return cursor;
  }

  #encode(session: Session, positions: readonly (readonly [string, Position])[]): string | undefined {
    const cursor = encodeCursor(new Map(positions));
    if (cursor === undefined) {
      this.goodbye(session, new Disconnect("badRequest", "the session has more channels than a cursor holds"));
    }
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
