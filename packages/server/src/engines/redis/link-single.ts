/** The link to one master: a single server, or the master that Sentinels name. */
import type { Address, Connection, Target } from "./connection.ts";
import { LinkFault } from "./failures.ts";
import type { Link } from "./link.ts";
import type { Send } from "./link-calls.ts";
import { LinkCore, type LinkDeps } from "./link-core.ts";
import { LinkNode, nameOf } from "./link-node.ts";
import { checkServer } from "./server-check.ts";

export interface Finder {
  /** Where the master is; rejects with `LinkFault`. */
  find(): Promise<Target>;
  /** A server that is no master: whether waiting may make it one. */
  readonly mayChange: boolean;
  /** Calls back when the master is elsewhere than where it was found last. */
  watch?(moved: () => void): void;
  close(): void;
}

export class SingleLink extends LinkCore {
  readonly publishCommand = "PUBLISH";
  readonly #node: LinkNode;
  #away: LinkFault | undefined = new LinkFault("Redis has not answered yet", "", false);
  #wasOpen = false;
  #changed = Promise.withResolvers<void>();

  constructor(
    deps: LinkDeps,
    private readonly finder: Finder,
  ) {
    super(deps);
    this.#node = new LinkNode({
      clock: deps.clock,
      waitReplicas: deps.settings.waitReplicas,
      locate: () => finder.find(),
      prepare: (connection, address) => this.#prepare(connection, address),
      message: (channel, message) => this.heard(channel, message),
      unfollowed: () => undefined,
      opened: () => this.#opened(),
      failed: (fault) => this.#change(fault),
    });
    finder.watch?.(() => this.#node.lose("the Sentinels name another master"));
  }

  async start(): Promise<Link> {
    void this.#node.open();
    await this.started(
      () => this.#away === undefined,
      () => this.#changed.promise,
    );
    return this;
  }

  #change(fault: LinkFault | undefined): void {
    this.#away = fault;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    this.tell();
  }

  async #prepare(connection: Connection, address: Address): Promise<void> {
    const name = nameOf(address);
    const trial = { key: `${this.settings.prefix}{trial}`, publishCommand: this.publishCommand };
    const { role } = await checkServer(connection, name, false, trial);
    if (role === "replica")
      throw new LinkFault(
        `${name} is a replica that cannot be written to`,
        "name its master in redisUrls, or use redisMode sentinel",
        !this.finder.mayChange,
      );
  }

  #opened(): void {
    const isFirst = !this.#wasOpen;
    this.#wasOpen = true;
    const { connection } = this.#node;
    if (connection === undefined) return;
    // Sent ahead of all calls, so what they are told of is not missed.
    const following = Promise.all(Array.from(this.followed.keys(), (channel) => this.followAt(connection, channel)));
    this.#change(undefined);
    following.then(
      () => {
        if (!isFirst && this.#node.connection === connection) this.tellReturn();
      },
      (error: unknown) => connection.cut(`what was followed cannot be followed again: ${String(error)}`),
    );
  }

  protected get awayFault(): LinkFault | undefined {
    return this.#away;
  }

  protected get nodes(): Iterable<LinkNode> {
    return [this.#node];
  }

  slotOf(): number {
    return 0;
  }

  protected nodeOf(): LinkNode {
    return this.#node;
  }

  asked(): Send {
    return undefined;
  }

  redirected(): void {
    throw new Error("a single server has sent us elsewhere");
  }

  override close(): Promise<void> {
    this.finder.close();
    return super.close();
  }
}
