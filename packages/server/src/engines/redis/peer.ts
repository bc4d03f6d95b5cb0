/** This process among its peers: its lease, the bus, and what has to happen when one of them dies, or is taken for dead. */
import type { Clock, Timer } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import { newPeerMark } from "../../base/ids.ts";
import type { Logger } from "../../base/log.ts";
import type { Sink } from "../../ports/broker.ts";
import { RedisBus } from "./bus.ts";
import { Claims } from "./claims.ts";
import { Lease, type LeaseTimes } from "./lease.ts";
import type { Link } from "./link.ts";
import { RedisPresence } from "./presence.ts";
import { KEEP_MS } from "./sweep.ts";

/** How often what is kept in Redis is gone through, so that it does not end while it is wanted. */
const LOOK_MS = KEEP_MS / 4;

/** How long a process that stops takes to remove what it has put, and how long it waits for a Redis that is away. What is left then is left to the others. */
const CLOSE_MS = 3_000;
const AWAY_MS = 1_000;
const AGAIN_MS = 100;

export interface PeerDeps {
  readonly link: Link;
  readonly prefix: string;
  readonly times: LeaseTimes;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Peer {
  readonly lease: Lease;
  readonly bus: RedisBus;
  readonly #claims: Claims;
  #presence: RedisPresence | undefined;
  #sink: Pick<Sink, "fenced"> | undefined;
  #timers: Timer[] = [];
  #closed = false;

  private constructor(private readonly deps: PeerDeps) {
    const { clock, log, times } = deps;
    const mark = newPeerMark();
    this.lease = new Lease(
      { ...deps, mark },
      {
        fenced: (owner) => this.#fenced(owner),
        forgotten: () => void this.#presence?.restore(true),
        claimable: (owners) => this.#claims.take(owners),
        left: (peer) => this.bus.left(peer),
      },
    );
    this.bus = new RedisBus({
      ...deps,
      self: mark,
      peers: () => this.lease.peers(),
      heard: (message) => this.lease.heard(message),
    });
    this.#claims = new Claims({ ...deps, lease: this.lease, holdMs: times.leaseMs, clock, log });
  }

  /** Resolves when the others know of this process, and it of them. Rejects with `ReplyError(unavailable)`. */
  static async join(deps: PeerDeps): Promise<Peer> {
    const peer = new Peer(deps);
    // Whoever knows of it may ask it.
    await peer.bus.start();
    await peer.lease.start();
    deps.link.onReturn(() => void peer.#returned());
    return peer;
  }

  open(sink: Pick<Sink, "fenced">): RedisPresence {
    const { clock, times } = this.deps;
    const presence = new RedisPresence(this.deps, this.lease.owner);
    this.#presence = presence;
    this.#sink = sink;
    this.#timers = [
      clock.every(times.renewMs, () => presence.settle()),
      clock.every(LOOK_MS, () => void presence.restore(true)),
    ];
    return presence;
  }

  async #returned(): Promise<void> {
    // If the others have given this process up, it must not put again what they have removed.
    await this.lease.renew();
    if (!this.#closed) await this.#presence?.restore(false);
  }

  #fenced(owner: string): void {
    if (this.#closed) return;
    this.#presence?.fence(owner).catch((error: unknown) => {
      // Whoever has claimed it goes on with it.
      if (!(error instanceof ReplyError)) this.deps.log.error("what was put before the fence is left", { error });
    });
    this.#sink?.fenced();
  }

  /** Leaves nothing behind. Never rejects: what cannot be done is done by the others. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) timer.cancel();
    await this.#claims.end();
    const isEmpty = await this.#emptied();
    try {
      await this.lease.end(!isEmpty);
    } catch (error) {
      this.deps.log.debug("the lease was not ended", () => ({ error }));
    }
    this.bus.stop();
  }

  async #emptied(): Promise<boolean> {
    const { clock } = this.deps;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = clock.after(CLOSE_MS, () => resolve(false));
    const isEmpty = await Promise.race([this.#empty(clock.uptime() + AWAY_MS), promise]);
    timer.cancel();
    return isEmpty;
  }

  async #empty(awayUntil: number): Promise<boolean> {
    const { clock, log } = this.deps;
    for (;;) {
      try {
        await this.#presence?.close();
        return true;
      } catch (error) {
        if (!(error instanceof ReplyError)) log.error("presence cannot be removed", { error });
        if (!(error instanceof ReplyError) || clock.uptime() > awayUntil) return false;
        await new Promise<void>((resolve) => void clock.after(AGAIN_MS, resolve));
      }
    }
  }
}
