/** Finds the master that Sentinels name, and hears from them when it is another. */
import type { Clock, Timer } from "../../base/clock.ts";
import { type Address, Connection, type ConnectionEvents, NO_EVENTS, type Target } from "./connection.ts";
import { LinkFault, RedisRefusal } from "./failures.ts";
import type { LinkSettings } from "./link.ts";
import type { Finder } from "./link-single.ts";

const OPEN_MS = 1_000;
const TICK_MS = 1_000;
const SWITCHED = "+switch-master";

export class SentinelFinder implements Finder {
  readonly mayChange = true;
  #last: Address | undefined;
  #watching: Connection | undefined;
  #isOpening = false;
  #timer: Timer | undefined;
  /** Where to begin to ask: behind one that did not answer, or whose master could not be used. */
  #turn = 0;

  constructor(
    private readonly settings: LinkSettings,
    private readonly sentinels: readonly Target[],
    private readonly clock: Clock,
  ) {}

  async find(): Promise<Target> {
    let fault: unknown;
    for (let tried = 0; tried < this.sentinels.length; tried++) {
      try {
        const connection = await this.#open(NO_EVENTS);
        const address = await this.#ask(connection).finally(() => connection.end());
        this.#last = address;
        const { user, password, database, ca } = this.settings;
        const { tls } = this.#sentinel;
        // Whoever asks again could not use that master: a Sentinel that is cut off from the others names the old one for ever.
        this.#turn++;
        return { ...address, user, password, database, ca, tls };
      } catch (error) {
        fault = error;
        this.#turn++;
      }
    }
    if (fault instanceof LinkFault) throw fault;
    throw new LinkFault(
      `no Sentinel can be reached: ${fault instanceof Error ? fault.message : String(fault)}`,
      "check redisUrls, redisSentinelUser and redisSentinelPassword",
      fault instanceof RedisRefusal,
    );
  }

  get #sentinel(): Target {
    const target = this.sentinels[this.#turn % this.sentinels.length];
    if (target === undefined) throw new Error("there is no Sentinel");
    return target;
  }

  async #open(events: ConnectionEvents): Promise<Connection> {
    const { opened, abandon } = Connection.open(this.#sentinel, events);
    const timer = this.clock.after(OPEN_MS, abandon);
    try {
      return await opened;
    } finally {
      timer.cancel();
    }
  }

  async #ask(connection: Connection): Promise<Address> {
    const { master } = this.settings;
    const timer = this.clock.after(OPEN_MS, () => connection.end());
    const answer = await connection.send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", master]).finally(() => timer.cancel());
    if (!Array.isArray(answer))
      throw new LinkFault(`the Sentinels know no master named ${master}`, "check redisMaster", true);
    return { host: String(answer[0]), port: Number(answer[1]) };
  }

  /** A master that is cut off from its Sentinels goes on taking writes that will be lost, so waiting for its connection to break is not enough. */
  watch(moved: () => void): void {
    this.#timer = this.clock.every(TICK_MS, () => {
      this.#watching?.tick();
      if (this.#watching !== undefined || this.#isOpening || this.#last === undefined) return;
      this.#isOpening = true;
      this.#watch(moved)
        .catch(() => this.#turn++)
        .finally(() => {
          this.#isOpening = false;
        })
        .catch(() => undefined);
    });
  }

  async #watch(moved: () => void): Promise<void> {
    const connection = await this.#open({
      message: (_channel, message) => {
        const [master, , , host, port] = message.toString().split(" ");
        if (master === this.settings.master && this.#isElsewhere({ host: host ?? "", port: Number(port) })) moved();
      },
      unfollowed: () => undefined,
      ended: () => {
        this.#watching = undefined;
        this.#turn++;
      },
    });
    if (this.#timer === undefined) {
      connection.end();
      return;
    }
    this.#watching = connection;
    await connection.follow("SUBSCRIBE", SWITCHED);
    if (!this.#isElsewhere(await this.#ask(connection))) return;
    // It, or the one that was asked before it, is behind the others: from now on another one is listened to.
    this.#watching = undefined;
    this.#turn++;
    connection.end();
    moved();
  }

  #isElsewhere({ host, port }: Address): boolean {
    return host !== this.#last?.host || port !== this.#last.port;
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#watching?.end();
  }
}
