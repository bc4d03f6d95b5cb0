/**
 * Lease: this process lives as long as it renews it, and knows from it who else lives.
 *
 * Whoever does not renew in time is claimed by another and loses what it had (`claims.ts`). Nobody claims who has not itself been in touch with
 * Redis for a whole lease: after Redis was away for everybody, everybody has had time to renew by then. A peer that finds itself claimed
 * goes on under another name behind its mark, so that what is done to its old one does not concern it.
 */
import type { Clock, Timer } from "../../base/clock.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import { PEER_LENGTH } from "../../ports/node-bus.ts";
import { orUnavailable } from "./answers.ts";
import { BURY, CLAIM, HOLD, LEAVE, RENEW } from "./lease-scripts.ts";
import type { Identity } from "./connection.ts";
import type { Link, Script } from "./link.ts";
import { KEEP_MS } from "./sweep.ts";

export interface LeaseTimes {
  readonly renewMs: number;
  readonly leaseMs: number;
}

export const LEASE_TIMES: LeaseTimes = { renewMs: 3_000, leaseMs: 12_000 };

export interface LeaseEvents {
  /** Others took this process for dead; from now on it is this owner. */
  fenced(owner: string): void;
  /** Redis has forgotten this process, without anybody's doing. */
  forgotten(): void;
  /** These may be claimed: their leases have ended, or whoever had claimed them has not come to an end. */
  claimable(owners: readonly string[]): void;
  /** No peer any more. */
  left(peer: string): void;
}

export interface LeaseDeps {
  readonly link: Link;
  readonly prefix: string;
  readonly mark: string;
  readonly times: LeaseTimes;
  readonly clock: Clock;
  readonly log: Logger;
}

type Renewal = readonly [
  isNew: unknown,
  version: unknown,
  claimable: readonly unknown[],
  owners: readonly unknown[],
  time: unknown,
];

export class Lease {
  /** What this process is called now: its mark, and from the first fence on a number. */
  owner: string;
  /** Where is told who comes and goes. */
  readonly channel: string;
  readonly #keys: readonly string[];
  #owners = new Set<string>();
  #version = "";
  #fences = 0;
  #isListed = false;
  #renewing: Promise<void> | undefined;
  /** Since when, by the uptime, there was no break; undefined: there is one. */
  #inTouchSince: number | undefined;
  #askedAt = 0;
  /** By how much Redis's clock was ahead of the uptime. */
  #ahead = 0;
  #timer: Timer | undefined;
  #ended = false;

  constructor(
    private readonly deps: LeaseDeps,
    private readonly events: LeaseEvents,
  ) {
    this.owner = deps.mark;
    this.channel = busKey(deps.prefix, "all");
    this.#keys = ["leases", "gone", "dying", "about", "version"].map((kind) => busKey(deps.prefix, kind));
  }

  /** Marks of the others. */
  peers(): string[] {
    const marks = new Set(Array.from(this.#owners, markOf));
    marks.delete(this.deps.mark);
    return [...marks];
  }

  /** Resolves when this process is known, and knows the others; or when that could not be done, which is tried again. */
  async start(): Promise<void> {
    this.#timer = this.deps.clock.every(this.deps.times.renewMs, () => void this.renew());
    await this.renew();
  }

  /** Never rejects. */
  renew(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  async #renew(): Promise<void> {
    const { clock, link, log, times } = this.deps;
    const askedAt = clock.uptime();
    try {
      const { owner } = this;
      const about = JSON.stringify(link.connections);
      const answer = await this.#run(RENEW, owner, String(times.leaseMs), this.#version, about);
      if (this.#ended) return;
      if (Array.isArray(answer)) this.#renewed(askedAt, answer as unknown as Renewal);
      else this.#fence();
    } catch (error) {
      this.#inTouchSince = undefined;
      if (!(error instanceof ReplyError)) log.error("the lease cannot be renewed", { error });
    }
  }

  #renewed(askedAt: number, [isNew, version, claimable, owners, time]: Renewal): void {
    const { clock, times } = this.deps;
    const now = clock.uptime();
    const ahead = Number(time) - now;
    // An answer that was long in coming is a break, too: everybody's renewals may have stood still. So is another time there: leases have ended that were just renewed.
    const isLate = now - this.#askedAt > times.leaseMs / 2 + times.renewMs;
    if (this.#inTouchSince === undefined || isLate || Math.abs(ahead - this.#ahead) > times.renewMs)
      this.#inTouchSince = now;
    this.#askedAt = askedAt;
    this.#ahead = ahead;
    const wasForgotten = this.#isListed && Number(isNew) === 1;
    this.#isListed = true;
    if (String(version) !== this.#version) this.#learn(owners.map(String));
    this.#version = String(version);
    if (wasForgotten) this.events.forgotten();
    if (claimable.length > 0 && now - this.#inTouchSince >= times.leaseMs)
      this.events.claimable(claimable.map(String).filter((owner) => owner !== this.owner));
  }

  #learn(owners: readonly string[]): void {
    const before = this.peers();
    this.#owners = new Set(owners);
    this.#tellLeft(before);
  }

  #tellLeft(before: readonly string[]): void {
    const now = new Set(this.peers());
    for (const peer of before) if (!now.has(peer)) this.events.left(peer);
  }

  #fence(): void {
    this.#fences++;
    this.owner = `${this.deps.mark}~${this.#fences}`;
    this.#isListed = false;
    this.#inTouchSince = undefined;
    this.events.fenced(this.owner);
    // After this renewal has come to its end.
    this.deps.clock.after(0, () => void this.renew());
  }

  /** A message about who comes (`+`) and goes (`-`). */
  heard(message: string): void {
    const owner = message.slice(1);
    const before = this.peers();
    if (message.startsWith("+")) this.#owners.add(owner);
    else this.#owners.delete(owner);
    this.#tellLeft(before);
    if (message === `-${this.owner}`) void this.renew();
  }

  /** For so long nobody else will. Resolves to its connections if it is this process that has to see to it now. */
  async claim(owner: string, forMs: number): Promise<readonly Identity[] | undefined> {
    const answer = await this.#run(CLAIM, owner, String(forMs));
    return typeof answer === "string" ? (JSON.parse(answer) as Identity[]) : undefined;
  }

  async hold(owner: string, forMs: number): Promise<void> {
    await this.#run(HOLD, owner, String(forMs));
  }

  async bury(owner: string): Promise<void> {
    await this.#run(BURY, owner);
  }

  /** Ends the lease. `rest`: something is left, which others may remove at once. */
  async end(rest: boolean): Promise<void> {
    this.stop();
    await this.#renewing;
    await this.#run(LEAVE, this.owner, rest ? "rest" : "");
  }

  stop(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #run(script: Script, owner: string, ...args: readonly string[]): Promise<unknown> {
    const { link } = this.deps;
    return orUnavailable(
      link.run(script, this.#keys, [owner, String(KEEP_MS), link.publishCommand, this.channel, ...args]),
    );
  }
}

/** Keys and channels of what peers know of each other and say to each other share a tag: on a Cluster, too, they keep their order. */
export function busKey(prefix: string, name: string): string {
  return `${prefix}{peers}:${name}`;
}

export function markOf(owner: string): string {
  return owner.slice(0, PEER_LENGTH);
}
