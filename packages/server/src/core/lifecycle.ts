/**
 * Lifecycle: is the client still there, is its token still good, has it gone after our goodbye, is what is kept of it about to run
 * out? One timer wheel for all sessions. What counts is the last byte received: sends into a dead connection succeed for minutes.
 */
import type { Clock } from "../base/clock.ts";
import { Disconnect } from "../base/failures.ts";
import { TimerWheel, type WheelItem } from "../base/timer-wheel.ts";
import type { Outbox } from "./outbox.ts";
import { ANONYMOUS, type Session } from "./model.ts";
import type { Settings } from "./settings.ts";

/** Ticks are a tenth of the shortest time that is kept, within these bounds. */
const TICK_MIN_MS = 50;
const TICK_MAX_MS = 1000;

export class Lifecycle {
  readonly #wheel: TimerWheel<Session & WheelItem>;

  constructor(
    private readonly settings: Pick<
      Settings,
      "pingIntervalMs" | "pingTimeoutMs" | "streamMaxAgeMs" | "tokenGraceMs" | "connectTimeoutMs" | "anonymous"
    >,
    private readonly clock: Clock,
    private readonly outbox: Outbox,
    private readonly end: (session: Session, goodbye: Disconnect) => void,
    private readonly renew: (session: Session) => void,
  ) {
    const shortestMs = Math.min(settings.pingIntervalMs, settings.pingTimeoutMs, settings.connectTimeoutMs);
    const tickMs = Math.min(TICK_MAX_MS, Math.max(TICK_MIN_MS, Math.floor(shortestMs / 10)));
    this.#wheel = new TimerWheel(clock, tickMs, (session) => this.#due(session));
  }

  /** Sets the session's next deadline. */
  watch(session: Session): void {
    if (session.state === "closed") return;
    if (session.state === "closing") {
      this.#wheel.schedule(session, this.clock.uptime() + this.settings.pingTimeoutMs);
      return;
    }
    // Tokens go by the machine's clock; should that be set meanwhile, the next ping looks again.
    const dueAt = Math.min(this.#expiresAt(session), this.#namedBy(session));
    const clockAt = dueAt === Infinity ? Infinity : this.clock.uptime() + dueAt - this.clock.now();
    this.#wheel.hasten(session, Math.min(session.pingAt, this.#endsAt(session), clockAt, session.renewAt));
  }

  /** When its token is over for good, in Unix milliseconds. */
  #expiresAt({ identity: { expiresAt } }: Session): number {
    return expiresAt === undefined ? Infinity : expiresAt + this.settings.tokenGraceMs;
  }

  /**
   * Until when it must have said who it is, likewise. Whoever is let in, or has been given a channel to follow, is welcome. Where nobody has to say
   * anything, one whose life shows in nothing but what it says must have said something: else half a line would hold a connection for ever.
   */
  #namedBy(session: Session): number {
    const { anonymous, connectTimeoutMs } = this.settings;
    if (session.state === "connecting") return Infinity;
    const isSilent = session.state === "waiting" && session.connection.hearing === "frames";
    if (anonymous === "welcome" && !isSilent) return Infinity;
    const isWelcome = session.state === "open" && (anonymous === "refused" || isSomebody(session));
    return isWelcome ? Infinity : session.openedAt + connectTimeoutMs;
  }

  /** When the client counts as gone if nothing more is heard of it. Of a stream nothing is ever heard: it has an age instead. */
  #endsAt({ connection, heardAt, jsonPing }: Session): number {
    const { pingIntervalMs, pingTimeoutMs, streamMaxAgeMs } = this.settings;
    if (connection.hearing === "nothing") return heardAt + streamMaxAgeMs;
    if (connection.hearing === "frames" && !jsonPing) return Infinity;
    return heardAt + pingIntervalMs + pingTimeoutMs;
  }

  forget(session: Session): void {
    this.#wheel.cancel(session);
  }

  stop(): void {
    this.#wheel.stop();
  }

  #due(session: Session): void {
    if (session.state === "closed") return;
    if (session.state === "closing") {
      // It has not even read the goodbye.
      session.connection.cut();
      return;
    }
    const now = this.clock.uptime();
    const { hearing } = session.connection;
    if (now >= this.#endsAt(session)) {
      this.end(
        session,
        hearing === "nothing" ? new Disconnect("asked", "the stream is old") : new Disconnect("noPong"),
      );
      return;
    }
    if (this.clock.now() >= this.#namedBy(session)) {
      const isWelcome = this.settings.anonymous === "welcome";
      this.end(
        session,
        isWelcome ? new Disconnect("noPong", "no frame came (connectTimeoutMs)") : new Disconnect("missingToken"),
      );
      return;
    }
    if (this.clock.now() >= this.#expiresAt(session)) {
      this.end(session, new Disconnect(session.identity.anew === true ? "asked" : "expiredToken"));
      return;
    }
    if (now >= session.renewAt) this.renew(session);
    if (now >= session.pingAt) {
      session.pingAt = now + this.settings.pingIntervalMs;
      // One that is quiet holds none.
      session.allowance = null;
      // On a stream one sign is enough, and the frame is seen by more.
      if (hearing !== "nothing" || !session.jsonPing) session.connection.ping();
      if (session.jsonPing) this.outbox.push(session, { type: "ping" });
    }
    this.watch(session);
  }
}

/** A token without a user is somebody, too: it was given to it. */
function isSomebody({ identity, user, subscriptions }: Session): boolean {
  return identity !== ANONYMOUS || user !== undefined || subscriptions.length > 0;
}
