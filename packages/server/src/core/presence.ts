/**
 * Presence: which sessions show themselves in a channel. Those who asked are told `join` and `leave` by way of the engine (`Sink.event`).
 *
 * A person whose last connection drops is announced as gone only after `leaveDelayMs`: turning a page closes one connection
 * and opens the next, and nobody should see that. An `unsubscribe` is meant, so it shows at once.
 */
import type { Member } from "@longwire/protocol";
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { TimerWheel, type WheelItem } from "../base/timer-wheel.ts";
import type { PresenceStore } from "../ports/presence.ts";
import type { Session, Subscription } from "./model.ts";

interface Departure extends WheelItem {
  readonly channel: string;
  readonly session: string;
}

const TICK_MS = 100;

/** Departures that may wait at once; beyond it, a lost connection shows as gone at once. */
const DEPARTURES_MAX = 100_000;

export class Presence {
  readonly #departures = new Map<string, Departure>();
  readonly #wheel: TimerWheel<Departure>;

  constructor(
    private readonly store: PresenceStore,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly departuresMax: number = DEPARTURES_MAX,
  ) {
    this.#wheel = new TimerWheel(clock, TICK_MS, (departure) => {
      this.#departures.delete(keyOf(departure.channel, departure.session));
      this.#drop(departure.channel, departure.session);
    });
  }

  /** Lists the subscription's session as present; others see `join` if the person was not there. */
  async enter(subscription: Subscription, data: Member["data"]): Promise<void> {
    const { channel, session } = subscription;
    const member: Member = {
      session: session.id,
      ...(session.user !== undefined && { user: session.user }),
      ...(session.identity.info !== undefined && { info: session.identity.info }),
      ...(data !== undefined && { data }),
    };
    subscription.member = { data };
    const departure = this.#departures.get(keyOf(channel.name, session.id));
    if (departure !== undefined) {
      this.#wheel.cancel(departure);
      this.#departures.delete(keyOf(channel.name, session.id));
    }
    // It may leave while the store is asked; then its departure is queued behind this and speaks for itself.
    await this.store.put(channel.name, member);
  }

  /** The subscription has ended. `dropped`: by a lost connection, which may come back. */
  leave(subscription: Subscription, dropped: boolean): void {
    if (subscription.member === null) return;
    const { channel, session } = subscription;
    subscription.member = null;
    const isMeant = !dropped || channel.options.leaveDelayMs === 0;
    if (isMeant || this.#departures.size >= this.departuresMax) {
      this.#drop(channel.name, session.id);
      return;
    }
    const departure: Departure = { channel: channel.name, session: session.id, slot: 0 };
    this.#departures.set(keyOf(channel.name, session.id), departure);
    this.#wheel.schedule(departure, this.clock.uptime() + channel.options.leaveDelayMs);
  }

  /** The session's user has changed: where it is present, who it was leaves and who it is enters. */
  async rename(session: Session): Promise<void> {
    for (const subscription of session.subscriptions) {
      const { member } = subscription;
      if (member === null) continue;
      this.leave(subscription, false);
      await this.enter(subscription, member.data);
    }
  }

  stop(): void {
    this.#wheel.stop();
    this.#departures.clear();
  }

  #drop(channel: string, session: string): void {
    this.store.drop(channel, session).catch((error: unknown) => {
      this.log.error("presence entry cannot be dropped", { channel, session, error });
    });
  }
}

function keyOf(channel: string, session: string): string {
  return `${session} ${channel}`;
}
