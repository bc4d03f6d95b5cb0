/** What every way to Redis has in common: calls in order, what is followed, and why it cannot be used right now. */
import type { Clock, Timer } from "../../base/clock.ts";
import { StartupError } from "../../base/failures.ts";
import type { Logger } from "../../base/log.ts";
import { AnswerBudget } from "./answer-budget.ts";
import { type Connection, type Identity, killCommand } from "./connection.ts";
import { type LinkFault, notSent, RedisRefusal, stateOf } from "./failures.ts";
import { type Link, type LinkSettings, type Listener, type Script, scriptOf } from "./link.ts";
import { Calls, type Route, type Send } from "./link-calls.ts";
import { type LinkNode, nameOf } from "./link-node.ts";
import { lookForEviction } from "./server-check.ts";

const TICK_MS = 1_000;
/** Ticks between looks at the memory policy, which somebody may set at any time. */
const POLICY_TICKS = 5;
/** How long the start waits for what may still come. */
const START_MS = 5_000;
/** A slot that moves takes its channels along. */
const FOLLOW_TRIES_MAX = 40;
const FOLLOW_PAUSE_MS = 50;

/** Something that needs memory, so that it is refused where a publication would be. */
const PROBE = scriptOf("return redis.call('SET', KEYS[1], '1', 'PX', '1000')");

export interface LinkDeps {
  readonly settings: LinkSettings;
  readonly clock: Clock;
  readonly log: Logger;
}

export abstract class LinkCore implements Link, Route {
  protected readonly settings: LinkSettings;
  protected readonly clock: Clock;
  protected readonly log: Logger;
  protected readonly followed = new Map<string, Listener>();
  readonly #calls: Calls;
  readonly #budget = new AnswerBudget();
  readonly #returned: (() => void)[] = [];
  readonly #tick: Timer;
  /** Where Redis refused because of its state, and why. */
  #refusal: { readonly state: string; readonly key: string } | undefined;
  #told: string | undefined;
  #eviction: LinkFault | undefined;
  #ticks = 0;
  protected closed = false;

  constructor({ settings, clock, log }: LinkDeps) {
    this.settings = settings;
    this.clock = clock;
    this.log = log;
    this.#calls = new Calls(this, clock);
    this.#tick = clock.every(TICK_MS, () => this.tick());
  }

  abstract readonly publishCommand: "PUBLISH" | "SPUBLISH";
  abstract slotOf(key: string): number;
  /** The node that has the slot, whether it can be used or not. */
  protected abstract nodeOf(slot: number): LinkNode | undefined;
  protected abstract readonly nodes: Iterable<LinkNode>;
  /** Why some node cannot be used. */
  protected abstract readonly awayFault: LinkFault | undefined;
  abstract asked(address: string): Send;
  abstract redirected(slot: number, address: string): void;

  run(script: Script, keys: readonly string[], args: readonly string[], durable = false): Promise<unknown> {
    return this.#calls.run(script, keys, args, durable);
  }

  read(script: Script, keys: readonly string[], args: readonly string[], bytes: number): Promise<unknown> {
    return this.#budget.ask(bytes, () => this.run(script, keys, args));
  }

  call(key: string, command: readonly string[]): Promise<unknown> {
    return this.#calls.call(key, command);
  }

  senderOf(slot: number): Send {
    const node = this.nodeOf(slot);
    if (node?.connection === undefined) return undefined;
    return (command, durable) => node.send(command, { durable });
  }

  async follow(channel: string, listener: Listener): Promise<boolean> {
    this.followed.set(channel, listener);
    try {
      for (let tries = 0; ; tries++) {
        const refusal = await this.#tryFollow(channel);
        if (refusal === undefined) return tries === 0;
        if (tries === FOLLOW_TRIES_MAX) throw notSent(`it cannot be followed at the moment (${refusal.word})`);
        await new Promise<void>((resolve) => this.clock.after(FOLLOW_PAUSE_MS, resolve));
      }
    } catch (error) {
      if (this.followed.get(channel) === listener) this.followed.delete(channel);
      throw error;
    }
  }

  /** Resolves to a refusal after which it may be tried again. */
  async #tryFollow(channel: string): Promise<RedisRefusal | undefined> {
    const slot = this.slotOf(channel);
    try {
      await this.followAt(this.nodeOf(slot)?.connection, channel);
      return undefined;
    } catch (error) {
      if (!(error instanceof RedisRefusal)) throw error;
      if (error.word === "MOVED") this.redirected(slot, error.message.split(" ")[2] ?? "");
      else if (stateOf(error) === undefined && error.word !== "TRYAGAIN") throw error;
      return error;
    }
  }

  protected followAt(connection: Connection | undefined, channel: string): Promise<unknown> {
    if (connection === undefined) return Promise.reject(notSent(this.fault ?? "Redis is away"));
    return connection.follow(this.publishCommand === "PUBLISH" ? "SUBSCRIBE" : "SSUBSCRIBE", channel);
  }

  unfollow(channel: string): void {
    if (!this.followed.delete(channel)) return;
    const { connection } = this.nodeOf(this.slotOf(channel)) ?? {};
    connection
      ?.follow(this.publishCommand === "PUBLISH" ? "UNSUBSCRIBE" : "SUNSUBSCRIBE", channel)
      .catch(() => undefined);
  }

  get connections(): readonly Identity[] {
    return Array.from(this.nodes, ({ connection }) => connection?.identity).filter((one) => one !== undefined);
  }

  async endConnections(identities: readonly Identity[]): Promise<void> {
    const nodes = [...this.nodes];
    await Promise.all(nodes.flatMap((node) => identities.map((identity) => node.send(killCommand(identity)))));
  }

  onReturn(listener: () => void): void {
    this.#returned.push(listener);
  }

  protected tellReturn(): void {
    this.tell();
    if (this.closed) return;
    for (const listener of this.#returned) listener();
  }

  protected heard(channel: string, message: Buffer): void {
    try {
      this.followed.get(channel)?.(message);
    } catch (error) {
      // Whatever somebody has published there: the connection, and what else is on it, has nothing to do with it.
      this.log.error("a message of redis cannot be read", { channel, error });
    }
  }

  get fault(): string | undefined {
    const away = (this.awayFault ?? this.#eviction)?.message;
    return away ?? (this.#refusal === undefined ? undefined : `Redis ${this.#refusal.state}`);
  }

  refused(state: string, key: string, refusal: RedisRefusal): void {
    this.#refusal = { state, key };
    if (refusal.word === "READONLY")
      this.nodeOf(this.slotOf(key))?.lose("Redis is a replica now, its master is looked for");
    this.tell();
  }

  /** Once per change: a fault that every call meets is one line in the log. */
  protected tell(): void {
    const { fault } = this;
    if (fault === this.#told || this.closed) return;
    if (fault === undefined) this.log.info("redis can be used again");
    else this.log.error("redis cannot be used", { reason: fault });
    this.#told = fault;
  }

  protected tick(): void {
    for (const node of this.nodes) node.tick();
    if (++this.#ticks % POLICY_TICKS === 0) this.#lookAtPolicies().catch(() => undefined);
    if (this.#refusal !== undefined && this.awayFault === undefined) this.#probe(this.#refusal.key);
  }

  async #lookAtPolicies(): Promise<void> {
    let found: LinkFault | undefined;
    for (const { connection } of this.nodes)
      if (connection !== undefined) found ??= await lookForEviction(connection, nameOf(connection.address));
    this.#eviction = found;
    this.tell();
  }

  /** Whether what was refused is taken again. */
  #probe(key: string): void {
    const tag = /\{[^}]*\}/.exec(key)?.[0] ?? "";
    const { prefix } = this.settings;
    this.run(PROBE, [`${prefix}${tag}:probe`], []).then(
      () => {
        this.#refusal = undefined;
        this.tell();
      },
      () => undefined,
    );
  }

  /** Waits until all can be used; rejects with `StartupError` where that will not come, or takes too long. */
  protected async started(ready: () => boolean, changed: () => Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<"late">();
    const timer = this.clock.after(START_MS, () => resolve("late"));
    try {
      for (;;) {
        if (ready()) return;
        const fault = this.awayFault;
        const isLate = fault?.lasting === true || (await Promise.race([changed().then(() => ""), promise])) === "late";
        if (!isLate) continue;
        if (ready()) return;
        const last = this.awayFault;
        throw new StartupError(
          last?.message ?? "Redis does not answer within 5 s",
          last?.advice === undefined || last.advice === "" ? "check redisUrls" : last.advice,
        );
      }
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      timer.cancel();
    }
  }

  close(): Promise<void> {
    this.closed = true;
    this.#tick.cancel();
    for (const node of this.nodes) node.close();
    return Promise.resolve();
  }
}
