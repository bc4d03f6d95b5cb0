/**
 * The link to a Redis Cluster: a node for each master. Where the slots are is asked at the start, when a node cannot be used, when a call is redirected,
 * when Redis ends a subscription because its slot has moved, and once in a while.
 */
import calculateSlot from "@redis/client/dist/lib/utils/calculate-slot.js";
import { type Address, Connection, NO_EVENTS, type Target } from "./connection.ts";
import { LinkFault, RedisRefusal } from "./failures.ts";
import { tagNumber, TAGS } from "./keys.ts";
import type { Link } from "./link.ts";
import type { Send } from "./link-calls.ts";
import { LinkCore, type LinkDeps } from "./link-core.ts";
import { LinkNode, nameOf } from "./link-node.ts";
import { checkServer, connectFault } from "./server-check.ts";

const SLOTS = 16_384;
/** Ticks between looks at where the slots are, while all is well. */
const LOOK_TICKS = 5;
const ASK_MS = 1_000;
/** How long after a refusal it is tried to follow again. */
const AGAIN_MS = 500;

const NO_SLOTS = new LinkFault(
  "a part of the Redis Cluster has no master",
  "see to it with redis-cli --cluster check",
  false,
);

interface Master {
  readonly node: LinkNode;
  readonly address: Address;
  fault: LinkFault | undefined;
}

type SlotRange = [start: number, end: number, master: [host: string | null, port: number, ...unknown[]], ...unknown[]];

export class ClusterLink extends LinkCore {
  readonly publishCommand = "SPUBLISH";
  readonly #seeds: readonly Target[];
  readonly #masters = new Map<string, Master>();
  readonly #slots: (Master | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  /** Few tags, many keys. */
  readonly #slotOfTag = new Map<string, number>();
  #looking: Promise<void> | undefined;
  #lookFault: LinkFault | undefined = new LinkFault("Redis has not answered yet", "", false);
  #changed = Promise.withResolvers<void>();
  #ticks = 0;

  constructor(deps: LinkDeps, seeds: readonly Target[]) {
    super(deps);
    this.#seeds = seeds;
  }

  async start(): Promise<Link> {
    void this.#look();
    await this.started(
      () => this.awayFault === undefined,
      () => this.#changed.promise,
    );
    return this;
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.tell();
  }

  protected get nodes(): Iterable<LinkNode> {
    return [...this.#masters.values()].map(({ node }) => node);
  }

  protected get awayFault(): LinkFault | undefined {
    if (this.#masters.size === 0) return this.#lookFault ?? NO_SLOTS;
    for (const { fault } of this.#masters.values()) if (fault !== undefined) return fault;
    return this.#slots.includes(undefined) ? NO_SLOTS : undefined;
  }

  slotOf(key: string): number {
    const open = key.indexOf("{");
    const close = key.indexOf("}", open + 1);
    const tag = open === -1 || close <= open + 1 ? key : key.slice(open + 1, close);
    if (tag === key) return calculateSlot(key);
    let slot = this.#slotOfTag.get(tag);
    if (slot === undefined) {
      slot = calculateSlot(key);
      if (this.#slotOfTag.size < 4 * TAGS) this.#slotOfTag.set(tag, slot);
    }
    return slot;
  }

  protected nodeOf(slot: number): LinkNode | undefined {
    return this.#slots[slot]?.node;
  }

  asked(address: string): Send {
    const node = this.#masters.get(address)?.node;
    if (node?.connection === undefined) return undefined;
    return (command, durable) => node.send(command, { durable, asking: true });
  }

  redirected(slot: number, address: string): void {
    const { host, port } = addressOf(address);
    // A Cluster that does not say where means: here, on that port.
    if (host !== "") {
      const master = this.#master({ host, port });
      // Once, and not for each call that was redirected: all that is followed is gone through.
      if (this.#slots[slot] !== master) this.#assign(new Map([[slot, master]]));
    }
    void this.#look();
  }

  protected override tick(): void {
    super.tick();
    this.#ticks++;
    if (this.awayFault !== undefined || this.#ticks % LOOK_TICKS === 0) void this.#look();
  }

  /** Asks where the slots are. Never rejects. */
  #look(): Promise<void> {
    this.#looking ??= this.#lookAround()
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#lookFault =
          error instanceof LinkFault
            ? error
            : new LinkFault(`no node of the Redis Cluster can be asked: ${reason}`, "check redisUrls", false);
        this.#change();
      })
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  async #lookAround(): Promise<void> {
    let failure: unknown = new Error("none is known");
    for (const { node, address } of this.#masters.values()) {
      if (node.connection === undefined) continue;
      try {
        this.#learn(await node.send(["CLUSTER", "SLOTS"]), address);
        return;
      } catch (error) {
        failure = error;
      }
    }
    for (const target of this.#everywhere()) {
      try {
        this.#learn(await this.#askOnce(target), target);
        return;
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  #everywhere(): Target[] {
    const [seed] = this.#seeds;
    if (seed === undefined) return [];
    const known = [...this.#masters.values()].map(({ address }) => ({ ...seed, ...address }));
    return [...this.#seeds, ...known];
  }

  async #askOnce(target: Target): Promise<unknown> {
    const { opened, abandon } = Connection.open(target, NO_EVENTS);
    const timer = this.clock.after(ASK_MS, abandon);
    try {
      const connection = await opened;
      try {
        return await connection.send(["CLUSTER", "SLOTS"]);
      } finally {
        connection.end();
      }
    } catch (error) {
      if (error instanceof RedisRefusal && /cluster support disabled/i.test(error.message))
        throw new LinkFault(
          `${nameOf(target)} is no node of a Redis Cluster`,
          "set redisMode single or sentinel",
          true,
        );
      throw connectFault(error instanceof Error ? error : new Error(String(error)), nameOf(target));
    } finally {
      timer.cancel();
    }
  }

  #learn(answer: unknown, asked: Address): void {
    if (this.closed) return;
    const moved = new Map<number, Master>();
    const present = new Set<Master>();
    for (const [start, end, [host, port]] of answer as SlotRange[]) {
      const master = this.#master({ host: host === null || host === "" || host === "?" ? asked.host : host, port });
      present.add(master);
      for (let slot = start; slot <= end; slot++) if (this.#slots[slot] !== master) moved.set(slot, master);
    }
    this.#lookFault = undefined;
    this.#assign(moved);
    for (const [key, master] of this.#masters) {
      if (present.has(master)) continue;
      this.#masters.delete(key);
      master.node.close();
    }
    this.#change();
  }

  #assign(moved: ReadonlyMap<number, Master>): void {
    for (const [slot, master] of moved) this.#slots[slot] = master;
    // Those that cannot be used yet take their channels when they can.
    const channels = Map.groupBy(
      [...this.followed.keys()].filter((channel) => moved.get(this.slotOf(channel))?.node.connection !== undefined),
      (channel) => moved.get(this.slotOf(channel)),
    );
    for (const [master, names] of channels) if (master !== undefined) this.#followThere(master, names);
  }

  #followThere(master: Master, channels: readonly string[]): void {
    const { connection } = master.node;
    if (connection === undefined) return;
    const refused: string[] = [];
    const following = channels.map((channel) =>
      this.followAt(connection, channel).catch(() => void refused.push(channel)),
    );
    void Promise.all(following).then(async () => {
      // It comes back, and follows all then.
      if (master.node.connection !== connection) return;
      this.tellReturn();
      if (refused.length === 0) return;
      // Redirected: the slots have moved since they were looked up. Or it is a state that passes, where nobody else would ask again.
      await this.#look();
      this.clock.after(AGAIN_MS, () => {
        const left = refused.filter(
          (channel) => this.followed.has(channel) && this.nodeOf(this.slotOf(channel)) === master.node,
        );
        if (left.length > 0) this.#followThere(master, left);
      });
    });
  }

  #master(address: Address): Master {
    const key = `${address.host}:${address.port}`;
    const known = this.#masters.get(key);
    if (known !== undefined) return known;
    const target = { ...(this.#seeds[0] as Target), ...address };
    const master: Master = {
      address,
      fault: new LinkFault(`${nameOf(address)} has not answered yet`, "", false),
      node: new LinkNode({
        clock: this.clock,
        waitReplicas: this.settings.waitReplicas,
        locate: () => Promise.resolve(target),
        prepare: (connection) => this.#prepare(connection, master),
        message: (channel, message) => this.heard(channel, message),
        unfollowed: (channel) => this.#unfollowed(channel),
        opened: () => this.#opened(master),
        failed: (fault) => this.#failed(master, fault),
      }),
    };
    this.#masters.set(key, master);
    void master.node.open();
    return master;
  }

  async #prepare(connection: Connection, master: Master): Promise<void> {
    const name = nameOf(master.address);
    const { prefix } = this.settings;
    const keys = Array.from({ length: TAGS }, (_, tag) => `${prefix}{${tagNumber(tag)}}:trial`);
    const key = keys.find((candidate) => this.#slots[this.slotOf(candidate)] === master);
    const trial = key === undefined ? undefined : { key, publishCommand: this.publishCommand };
    const { role } = await checkServer(connection, name, true, trial);
    if (role === "replica") throw new LinkFault(`${name} has become a replica`, "", false);
  }

  #opened(master: Master): void {
    master.fault = undefined;
    const mine = [...this.followed.keys()].filter((channel) => this.#slots[this.slotOf(channel)] === master);
    this.#followThere(master, mine);
    this.#change();
  }

  #failed(master: Master, fault: LinkFault): void {
    if (this.#masters.get(`${master.address.host}:${master.address.port}`) !== master) return;
    master.fault = fault;
    this.#change();
    void this.#look();
  }

  /** Its slot is on its way to another master. */
  #unfollowed(channel: string): void {
    if (!this.followed.has(channel)) return;
    const was = this.#slots[this.slotOf(channel)];
    void this.#look().then(() => {
      const now = this.#slots[this.slotOf(channel)];
      // Where it has moved, it has been followed there already.
      if (now !== undefined && now === was && this.followed.has(channel))
        this.clock.after(ASK_MS / 10, () => this.#followThere(now, [channel]));
    });
  }
}

function addressOf(text: string): Address {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
