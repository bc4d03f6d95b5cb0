/**
 * Limits: how much one session, one address, one user may ask for. Sessions have an allowance of commands, bytes and publishes, which
 * is only counted down on the way of a command; how much of it has come back meanwhile is worked out when it is used up.
 */
import type { Clock } from "../base/clock.ts";
import { placeOf } from "../base/address-list.ts";
import { Disconnect, ReplyError } from "../base/failures.ts";
import { TokenBuckets } from "../base/token-bucket.ts";
import { Allowance } from "./allowance.ts";
import type { Session } from "./model.ts";
import type { Sessions } from "./sessions.ts";
import type { LimitSettings } from "./settings.ts";

/** How long one who is one too many from its address is asked to stay away. */
const CROWDED_AFTER_MS = 30_000;

/** A limit that is reached, as the client is told; short, since a close frame has little room. */
interface Refusal {
  readonly limit: string;
  readonly retryMs: number;
}

export class Limits {
  #settings: LimitSettings;
  #bursts: Readonly<Record<"commands" | "bytes" | "publishes", number>>;
  #byAddress: TokenBuckets | undefined;
  #byUser: TokenBuckets | undefined;
  /** Where sessions come from, and how many from each place: only where they are limited. */
  readonly #places = new Map<Session, string>();
  readonly #counts = new Map<string, number>();
  /** Allowances of sessions that are elsewhere, or between two polls, and for which somebody speaks here. */
  readonly #absent = new Map<string, Allowance>();

  constructor(
    settings: LimitSettings,
    private readonly clock: Clock,
  ) {
    this.#settings = settings;
    this.#bursts = burstsOf(settings);
    this.#byAddress = bucketsOf(settings.publishesPerSecondPerAddress, settings.burstSeconds);
    this.#byUser = bucketsOf(settings.publishesPerSecondPerUser, settings.burstSeconds);
  }

  /** Other limits from now on. Connections that came while addresses were not limited are not counted. */
  reload(settings: LimitSettings): void {
    const { publishesPerSecondPerAddress, publishesPerSecondPerUser, burstSeconds } = settings;
    const before = this.#settings;
    const isOtherBurst = burstSeconds !== before.burstSeconds;
    this.#settings = settings;
    this.#bursts = burstsOf(settings);
    // What somebody has used up is not given back because something else has changed.
    if (isOtherBurst || publishesPerSecondPerAddress !== before.publishesPerSecondPerAddress)
      this.#byAddress = bucketsOf(publishesPerSecondPerAddress, burstSeconds);
    if (isOtherBurst || publishesPerSecondPerUser !== before.publishesPerSecondPerUser)
      this.#byUser = bucketsOf(publishesPerSecondPerUser, burstSeconds);
    this.#absent.clear();
  }

  newAllowance(): Allowance {
    const { commands, bytes, publishes } = this.#bursts;
    return new Allowance(commands, bytes, publishes, this.clock.uptime());
  }

  /** The allowance of one who speaks for the session `id`, which is `live` if it is connected here. */
  allowanceFor(id: string, live: Session | undefined): Allowance {
    if (live !== undefined) return (live.allowance ??= this.newAllowance());
    const now = this.clock.uptime();
    for (const [key, { filledAt }] of this.#absent) {
      // In the order of their making.
      if (now - filledAt < ABSENT_MS && this.#absent.size < ABSENT_MAX) break;
      this.#absent.delete(key);
    }
    let allowance = this.#absent.get(id);
    if (allowance === undefined) {
      allowance = this.newAllowance();
      this.#absent.set(id, allowance);
    }
    return allowance;
  }

  /**
   * To be asked when a command has made its allowance negative. Undefined: there is enough after all. Else the command is not to be carried out, and
   * is not counted. Throws `Disconnect` for one who goes on and on.
   */
  refusalOfCommand(allowance: Allowance, bytes: number): ReplyError | undefined {
    const { commandsPerSecond, bytesPerSecond } = this.#settings;
    this.#refill(allowance, 1, bytes, 0);
    if (allowance.commands >= 0 && allowance.bytes >= 0) return undefined;
    const refusal: Refusal =
      allowance.commands < 0
        ? {
            limit: `commandsPerSecond is ${commandsPerSecond}`,
            retryMs: msUntil(allowance.commands, commandsPerSecond),
          }
        : {
            limit: `bytesPerSecond is ${bytesPerSecond}`,
            retryMs: msUntil(allowance.bytes, bytesPerSecond),
          };
    allowance.commands++;
    allowance.bytes += bytes;
    if (++allowance.refused > this.#bursts.commands) throw new Disconnect("flooding", refusal.limit, FLOODED_AFTER_MS);
    return new ReplyError("rateLimited", refusal.limit, refusal.retryMs);
  }

  /** Counts a client's publish. Throws `ReplyError` where it is one too many. */
  publish(session: Session): void {
    const allowance = (session.allowance ??= this.newAllowance());
    if (--allowance.publishes < 0) {
      this.#refill(allowance, 0, 0, 1);
      if (allowance.publishes < 0) {
        const { publishesPerSecond } = this.#settings;
        const retryMs = msUntil(allowance.publishes, publishesPerSecond);
        allowance.publishes++;
        const limit = `publishesPerSecond is ${publishesPerSecond}`;
        throw new ReplyError("rateLimited", limit, retryMs);
      }
    }
    if (this.#byUser !== undefined && session.user !== undefined) {
      const { publishesPerSecondPerUser: most } = this.#settings;
      take(this.#byUser, session.user, this.clock, `publishesPerSecondPerUser is ${most}`);
    }
    if (this.#byAddress === undefined) return;
    const { address } = session.connection;
    if (this.#settings.isExempt(address)) return;
    const { publishesPerSecondPerAddress: most } = this.#settings;
    const limit = `publishesPerSecondPerAddress is ${most}`;
    take(this.#byAddress, placeOf(address), this.clock, limit);
  }

  /** Counts a connection by its address. Returns the goodbye of one that is one too many. */
  arrive(session: Session): Disconnect | undefined {
    const { connectionsPerAddressMax: most, isExempt } = this.#settings;
    if (most === Infinity) return undefined;
    const { address } = session.connection;
    if (isExempt(address)) return undefined;
    const place = placeOf(address);
    const count = (this.#counts.get(place) ?? 0) + 1;
    if (count > most) {
      const limit = `at most ${most} connections from one address (connectionsPerAddressMax)`;
      return new Disconnect("unavailableNow", limit, CROWDED_AFTER_MS);
    }
    this.#counts.set(place, count);
    // Kept, since a connection that is gone does not tell it any more.
    this.#places.set(session, place);
    return undefined;
  }

  leave(session: Session): void {
    const place = this.#places.get(session);
    if (place === undefined) return;
    this.#places.delete(session);
    const count = (this.#counts.get(place) ?? 1) - 1;
    if (count === 0) this.#counts.delete(place);
    else this.#counts.set(place, count);
  }

  /** Refuses one who connects as a user that has too many sessions. `id`: the one that it comes back for, whose place it takes. */
  requireRoom(sessions: Pick<Sessions, "ofUser">, user: string | undefined, id: string | undefined): void {
    const { connectionsPerUserMax: most } = this.#settings;
    if (most === Infinity || user === undefined) return;
    const others = sessions.ofUser(user).filter((session) => session.id !== id).length;
    if (others < most) return;
    const limit = `at most ${most} connections of one user (connectionsPerUserMax)`;
    throw new ReplyError("unavailable", limit, CROWDED_AFTER_MS);
  }

  /** `ofCommands` and the like: what was taken already, and counts from when there is more again. */
  #refill(allowance: Allowance, ofCommands: number, ofBytes: number, ofPublishes: number): void {
    const { commandsPerSecond, bytesPerSecond, publishesPerSecond } = this.#settings;
    const { commands, bytes, publishes } = this.#bursts;
    const now = this.clock.uptime();
    const seconds = (now - allowance.filledAt) / 1000;
    allowance.filledAt = now;
    // Fractions are kept: somebody who asks every millisecond shall not be refused for ever.
    allowance.commands = refilled(allowance.commands, commandsPerSecond * seconds, commands - ofCommands);
    allowance.bytes = refilled(allowance.bytes, bytesPerSecond * seconds, bytes - ofBytes);
    allowance.publishes = refilled(allowance.publishes, publishesPerSecond * seconds, publishes - ofPublishes);
    if (allowance.commands >= commands / 2) allowance.refused = 0;
  }
}

/** How long one who flooded is asked to stay away. */
const FLOODED_AFTER_MS = 10_000;

const ABSENT_MS = 60_000;
const ABSENT_MAX = 100_000;

function burstsOf({
  commandsPerSecond,
  bytesPerSecond,
  publishesPerSecond,
  burstSeconds,
  messageBytesMax,
}: LimitSettings): Readonly<Record<"commands" | "bytes" | "publishes", number>> {
  return {
    commands: commandsPerSecond * burstSeconds,
    // Else the largest message would never pass.
    bytes: Math.max(bytesPerSecond * burstSeconds, messageBytesMax),
    publishes: publishesPerSecond * burstSeconds,
  };
}

function bucketsOf(perSecond: number, burstSeconds: number): TokenBuckets | undefined {
  return perSecond === Infinity ? undefined : new TokenBuckets(perSecond, Math.max(1, perSecond * burstSeconds));
}

function take(buckets: TokenBuckets, key: string, clock: Clock, limit: string): void {
  const retryMs = buckets.take(key, clock.uptime());
  if (retryMs > 0) throw new ReplyError("rateLimited", limit, retryMs);
}

function refilled(left: number, gained: number, most: number): number {
  // No time of an unlimited rate is no number.
  return most === Infinity ? Infinity : Math.min(most, left + gained);
}

function msUntil(left: number, perSecond: number): number {
  return Math.max(1, Math.ceil((-left / perSecond) * 1000));
}
