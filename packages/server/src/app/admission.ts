/**
 * Admission: whether one more client is let in. Once the server has as many as it can hold, or is late already, everybody would get slow
 * together; so those who come are asked to come later, and those who are there go on (SPEC.md, group LM).
 */
import type { Clock } from "../base/clock.ts";
import { Disconnect } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import { TokenBucket } from "../base/token-bucket.ts";

export interface AdmissionParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly connections: () => number;
  readonly connectionsMax: number;
  /** Infinity: no limit, here and below. */
  readonly handshakesPerSecond: number;
  readonly lagMs: () => number;
  readonly loopLagMsMax: number;
  readonly memoryBytes: () => number;
  readonly memoryBytesMax: number;
  /** Called when memory has passed its mark, every few seconds at most: it may be garbage. */
  readonly collect: () => void;
}

/** For one that cannot wait: why it is turned away, if it is. */
export function refusalAt(admission: Pick<Admission, "ask">): Disconnect | undefined {
  try {
    admission.ask({ canWait: false });
    return undefined;
  } catch (error) {
    if (error instanceof Disconnect) return error;
    throw error;
  }
}

/** How long somebody may wait for its turn. */
const QUEUE_MS = 1000;

const FULL_AFTER_MS = 10_000;
const LATE_AFTER_MS = 5000;
const MEMORY_LOOK_MS = 250;
const COLLECT_MS = 10_000;

/** The log hears of it so often, with how many it were. */
const TELL_MS = 10_000;

export class Admission {
  readonly #handshakes: TokenBucket | undefined;
  #memoryBytes = 0;
  #lookedAt = -Infinity;
  #collectedAt = -Infinity;
  #toldAt = -Infinity;
  #turnedAway = 0;

  constructor(private readonly parts: AdmissionParts) {
    const { handshakesPerSecond } = parts;
    if (handshakesPerSecond !== Infinity) {
      this.#handshakes = new TokenBucket(handshakesPerSecond, handshakesPerSecond);
    }
  }

  /**
   * Returns in how many milliseconds the client may come in: 0 is at once. Throws the `Disconnect` that turns it away. `canWait` false: there
   * is no queue for it. `isKnown`: it was here a moment ago, and only the number of connections is looked at.
   */
  ask({ canWait = true, isKnown = false }: { canWait?: boolean; isKnown?: boolean } = {}): number {
    const { connections, connectionsMax, clock } = this.parts;
    if (connections() >= connectionsMax) {
      throw this.#refusal(`at most ${connectionsMax} connections (connectionsMax)`, FULL_AFTER_MS);
    }
    if (isKnown) return 0;
    this.#requireHealth();
    const waitMs = this.#handshakes?.reserve(clock.uptime(), canWait ? QUEUE_MS : 0) ?? (this.#handshakes ? -1 : 0);
    if (waitMs >= 0) return waitMs;
    const { handshakesPerSecond } = this.parts;
    throw this.#refusal(
      `at most ${handshakesPerSecond} new connections per second (handshakesPerSecond)`,
      QUEUE_MS + Math.round(Math.random() * QUEUE_MS),
    );
  }

  #requireHealth(): void {
    const { lagMs, loopLagMsMax, memoryBytesMax, clock, memoryBytes, collect } = this.parts;
    if (loopLagMsMax !== Infinity) {
      const lag = lagMs();
      if (lag > loopLagMsMax)
        throw this.#refusal(`the event loop is late by more than ${loopLagMsMax} ms (loopLagMsMax)`, LATE_AFTER_MS);
    }
    const now = clock.uptime();
    if (now - this.#lookedAt >= MEMORY_LOOK_MS) {
      this.#lookedAt = now;
      this.#memoryBytes = memoryBytes();
    }
    if (this.#memoryBytes <= memoryBytesMax) return;
    if (now - this.#collectedAt >= COLLECT_MS) {
      this.#collectedAt = now;
      collect();
    }
    throw this.#refusal(`more than ${memoryBytesMax} bytes of memory are in use (memoryBytesMax)`, LATE_AFTER_MS);
  }

  #refusal(reason: string, afterMs: number): Disconnect {
    const { clock, log } = this.parts;
    this.#turnedAway++;
    if (clock.uptime() - this.#toldAt >= TELL_MS) {
      this.#toldAt = clock.uptime();
      log.warn("turns clients away", { reason, clients: this.#turnedAway });
      this.#turnedAway = 0;
    }
    return new Disconnect("overloaded", reason, afterMs);
  }
}
