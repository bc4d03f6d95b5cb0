/**
 * A node's way in, as clients meet it that all come at once: the kernel's queue of connections that nobody has accepted yet, the turns of the event loop
 * that accept them, and admission, which is the gateway's own code. The limit for late event loops does not stand here: a turn takes in no more
 * than the queue holds, and that many handshakes take a tenth of what it allows.
 */
import { TokenBucket } from "../../packages/server/src/base/token-bucket.ts";
import type { Agenda } from "./agenda.ts";
import type { Station } from "./station.ts";

/** What the runtime asks of `listen` (ss -ltn shows it). */
const ACCEPT_QUEUE = 511;
/** How long a client may wait for its turn in the gateway: QUEUE_MS of app/admission.ts. */
const ADMISSION_QUEUE_MS = 1000;
/** TCP: when nobody answers, a client knocks again after 1 s, then after twice as long, and so on. */
const KNOCK_AGAIN_MS = 1000;
const KNOCKS_MAX = 6;

export interface Visitor {
  /** Let in: its handshake costs so much. */
  readonly handshakeUs: number;
  entered(): void;
  /** Told to come later, or nobody answered. */
  turnedAway(): void;
}

export class Gate {
  /** Knocks that found the kernel's queue full. */
  unanswered = 0;
  turnedAway = 0;
  longestQueue = 0;
  isOpen = true;
  readonly #waiting: Visitor[] = [];
  readonly #handshakes: TokenBucket;
  #turnIsDue = false;

  constructor(
    private readonly agenda: Agenda,
    private readonly core: Station,
    handshakesPerSecond: number,
  ) {
    this.#handshakes = new TokenBucket(handshakesPerSecond, handshakesPerSecond);
  }

  knock(visitor: Visitor, knocks = 1): void {
    if (!this.isOpen) {
      visitor.turnedAway();
      return;
    }
    if (this.#waiting.length >= ACCEPT_QUEUE) {
      this.unanswered++;
      if (knocks >= KNOCKS_MAX) visitor.turnedAway();
      else this.agenda.after(KNOCK_AGAIN_MS * 2 ** (knocks - 1), () => this.knock(visitor, knocks + 1));
      return;
    }
    this.#waiting.push(visitor);
    this.longestQueue = Math.max(this.longestQueue, this.#waiting.length);
    if (this.#turnIsDue) return;
    this.#turnIsDue = true;
    this.agenda.after(this.core.backlogMs, () => this.#turn());
  }

  #turn(): void {
    this.#turnIsDue = false;
    for (const visitor of this.#waiting.splice(0)) {
      const waitMs = this.#handshakes.reserve(this.agenda.nowMs, ADMISSION_QUEUE_MS);
      if (waitMs === undefined) {
        this.turnedAway++;
        visitor.turnedAway();
      } else if (waitMs === 0) {
        this.core.serve(visitor.handshakeUs, () => visitor.entered());
      } else {
        this.agenda.after(waitMs, () => this.core.serve(visitor.handshakeUs, () => visitor.entered()));
      }
    }
  }
}
