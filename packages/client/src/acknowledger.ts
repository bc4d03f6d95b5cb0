/** Tells the server how far a channel's inbox was handled; what is handled within a moment shares one `ack`. */
import type { Clock, Timer } from "./platform.ts";

const ACK_DELAY_MS = 200;
const ACK_COUNT_MAX = 50;

export class Acknowledger {
  readonly #clock: Clock;
  /** Sends the acknowledgement; `false` when it cannot be sent now. */
  readonly #send: (offset: number) => boolean;
  #offset: number | undefined;
  #count = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, send: (offset: number) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  handled(offset: number): void {
    this.#offset = offset;
    if (++this.#count >= ACK_COUNT_MAX) this.flush();
    else this.#timer ??= this.#clock.after(ACK_DELAY_MS, () => this.flush());
  }

  /** Sends now. What cannot be sent stays for the next call. */
  flush(): void {
    const offset = this.#offset;
    this.forget();
    if (offset !== undefined && !this.#send(offset)) this.#offset = offset;
  }

  /** The numbering changed: what was handled under the old one must not be acknowledged under the new one. */
  forget(): void {
    this.#offset = undefined;
    this.#count = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
