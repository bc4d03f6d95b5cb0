/**
 * Outbox: what goes to one session outside of topics. Frames of one turn are joined into one write; every queue has a
 * budget in bytes, and whoever exceeds it is told so and cut off: `slow`.
 *
 * The budget counts what the session has not taken yet: our frames of this turn and what the connection still holds,
 * publications that came by topics included. Dropping single frames instead would be a silent hole.
 */
import type { ServerFrame } from "@longwire/protocol";
import { Disconnect } from "../base/failures.ts";
import type { Turn } from "../base/turn.ts";
import type { Frame } from "../ports/connection.ts";
import type { Session } from "./model.ts";
import type { Settings } from "./settings.ts";

export class Outbox {
  /** Sessions whose connection was found backed up: the candidates when all queues together grow too large. */
  readonly #backedUp = new Set<Session>();
  #sweepPlanned = false;

  constructor(
    private readonly settings: Pick<Settings, "queueBytesMax" | "queueBytesTotalMax">,
    private readonly turn: Turn,
    private readonly end: (session: Session, goodbye: Disconnect) => void,
  ) {}

  /** Queues a frame for the end of this turn. Frames of a session leave in the order of their pushes. False: the protocol has no word for it, or does not say what the client knows. */
  push(session: Session, frame: ServerFrame, isKnown = false): boolean {
    const encoded = session.protocol.encode(frame, isKnown);
    if (encoded !== null) this.pushFrame(session, encoded);
    return encoded !== null;
  }

  pushFrame(session: Session, frame: Frame): void {
    // A turn may produce more than the budget (ten thousand answers): hand it over now, so that the budget is checked in time.
    if (this.gather(session, frame)) this.flush(session);
  }

  /** The same without handing anything over. True: the caller has to `flush` as soon as it may. */
  gather(session: Session, frame: Frame): boolean {
    if (session.state === "closing" || session.state === "closed") return false;
    if (session.outbox === null) {
      session.outbox = [frame];
      this.turn.atEnd(() => this.flush(session));
    } else session.outbox.push(frame);
    session.outboxBytes += frame.length;
    return session.outboxBytes > this.settings.queueBytesMax / 2;
  }

  /** Hands over what has gathered, now: needed before a session joins a topic, whose frames would overtake it. */
  flush(session: Session): void {
    const frames = session.outbox;
    if (frames === null) return;
    session.outbox = null;
    session.outboxBytes = 0;
    session.connection.send(frames);
    this.check(session);
  }

  /** Looks at the session's queue; to be called after it was written to. */
  check(session: Session): void {
    const queued = session.connection.buffered();
    if (queued === 0) return;
    this.#backedUp.add(session);
    if (!this.#sweepPlanned) {
      this.#sweepPlanned = true;
      this.turn.atEnd(() => this.#sweep());
    }
    if (queued > this.settings.queueBytesMax) {
      this.end(
        session,
        new Disconnect("slow", `more than ${this.settings.queueBytesMax} bytes were waiting (queueBytesMax)`),
      );
    }
  }

  /** The connection is gone, or the client has taken everything. */
  forget(session: Session): void {
    this.#backedUp.delete(session);
  }

  /**
   * Keeps all queues together in their budget. Who was sent away counts until the connection is gone: the queue is still there.
   * The goodbye alone would free nothing, since it waits behind the queue; so the largest are cut as well.
   */
  #sweep(): void {
    this.#sweepPlanned = false;
    let total = 0;
    for (const session of this.#backedUp) {
      const queued = session.connection.buffered();
      if (queued === 0) this.#backedUp.delete(session);
      total += queued;
    }
    if (total <= this.settings.queueBytesTotalMax) return;
    const largestFirst = [...this.#backedUp].toSorted((a, b) => b.connection.buffered() - a.connection.buffered());
    for (const session of largestFirst) {
      if (total <= this.settings.queueBytesTotalMax) return;
      total -= session.connection.buffered();
      this.end(
        session,
        new Disconnect("slow", "the queues of all clients together were too long (queueBytesTotalMax)"),
      );
      session.connection.cut();
      this.#backedUp.delete(session);
    }
  }
}
