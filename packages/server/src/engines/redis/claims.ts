/**
 * Claims: what a dead process has left behind is removed by one that lives. It begins where somebody else has stopped, and may be stopped at any
 * moment: what is left of the dead one stays listed until nothing is.
 */
import type { Clock } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import type { Lease } from "./lease.ts";
import type { Link } from "./link.ts";
import { sweepOwner } from "./sweep.ts";

export interface ClaimsDeps {
  readonly link: Link;
  readonly prefix: string;
  readonly lease: Lease;
  /** How long a claimer has a peer for itself without saying that it is still at it. */
  readonly holdMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Claims {
  #working: Promise<void> | undefined;
  #ended = false;

  constructor(private readonly deps: ClaimsDeps) {}

  /** Does nothing while it is at it: those that are left are named again. */
  take(owners: readonly string[]): void {
    if (this.#ended) return;
    this.#working ??= this.#takeAll(owners).finally(() => (this.#working = undefined));
  }

  async #takeAll(owners: readonly string[]): Promise<void> {
    // Each begins with another, so that several share the work.
    const start = Math.floor(Math.random() * owners.length);
    for (const owner of [...owners.slice(start), ...owners.slice(0, start)]) {
      if (this.#ended) return;
      try {
        await this.#take(owner);
      } catch (error) {
        if (!(error instanceof ReplyError))
          this.deps.log.error("a dead process cannot be cleaned up after", { owner, error });
        return;
      }
    }
  }

  async #take(owner: string): Promise<void> {
    const { link, prefix, lease, holdMs, clock, log } = this.deps;
    const connections = await lease.claim(owner, holdMs);
    if (connections === undefined) return;
    log.warn("a process is taken for dead, its presence is removed", { peer: owner });
    link.endConnections(connections).catch((error: unknown) => {
      log.info("its connections to redis are left to redis", { peer: owner, reason: String(error) });
    });
    const holding = clock.every(holdMs / 3, () => {
      lease.hold(owner, holdMs).catch((error: unknown) => log.debug("a claim was not renewed", () => ({ error })));
    });
    try {
      if (await sweepOwner({ link, prefix, owner }, () => !this.#ended)) await lease.bury(owner);
    } finally {
      holding.cancel();
    }
  }

  /** Resolves when it has stopped; what is not done is left to others. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#working;
  }
}
