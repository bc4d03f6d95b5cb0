/** One server that is to be connected to for as long as it is wanted: opens the connection, opens it again when it breaks. */
import type { Clock, Timer } from "../../base/clock.ts";
import { type Address, Connection, type Identity, killCommand, type Target } from "./connection.ts";
import { LinkFault, notSent, RedisRefusal } from "./failures.ts";
import { allScripts } from "./link.ts";
import { connectFault } from "./server-check.ts";

const OPEN_MS = 2_000;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1_000;
const WAIT_MS = 1_000;
const LOST_MAX = 8;

export interface NodeDeps {
  readonly clock: Clock;
  readonly waitReplicas: number;
  /** Where it is: asked before each attempt. */
  readonly locate: () => Promise<Target>;
  /** Checks it and prepares it; it is not used before. Rejects with `LinkFault`. */
  readonly prepare: (connection: Connection, address: Address) => Promise<void>;
  readonly message: (channel: string, message: Buffer) => void;
  readonly unfollowed: (channel: string) => void;
  /** It can be used; what is called in this turn is ahead of everything else. */
  readonly opened: (node: LinkNode) => void;
  /** It cannot be used (any more), or not yet again. */
  readonly failed: (fault: LinkFault) => void;
}

export class LinkNode {
  /** undefined while it cannot be used. */
  connection: Connection | undefined;
  /** Waits for replicas, so it has to stand apart. */
  #writer: Connection | undefined;
  #opening: Connection | undefined;
  #retry: Timer | undefined;
  #retryMs = RETRY_MIN_MS;
  #closed = false;
  /** Connections that were given up since one was opened. */
  #lost: Identity[] = [];
  /** The `WAIT` that will follow what is being sent in this turn. */
  #waiting: Promise<unknown> | undefined;

  constructor(private readonly deps: NodeDeps) {}

  /** Never rejects: tells `opened` or `failed`, and goes on trying. */
  async open(): Promise<void> {
    let target: Target | undefined;
    try {
      target = await this.deps.locate();
      await this.#open(target);
    } catch (error) {
      this.#drop();
      if (this.#closed) return;
      const name = target === undefined ? "Redis" : nameOf(target);
      this.#failed(connectFault(error instanceof Error ? error : new Error(String(error)), name));
    }
  }

  async #open(target: Target): Promise<void> {
    const connection = await this.#connect(target);
    this.#opening = connection;
    await this.deps.prepare(connection, target);
    await this.#endLost(connection);
    await Promise.all(allScripts().map(({ source }) => connection.send(["SCRIPT", "LOAD", source])));
    if (this.deps.waitReplicas > 0) this.#writer = await this.#connect(target);
    if (this.#closed || this.#opening !== connection) throw new Error("it was closed");
    this.#opening = undefined;
    this.connection = connection;
    this.#retryMs = RETRY_MIN_MS;
    this.deps.opened(this);
  }

  /** Redis may not have noticed yet that they are lost, and carry out what it still finds in them. */
  async #endLost(connection: Connection): Promise<void> {
    for (const identity of this.#lost) await connection.send(killCommand(identity)).catch(passed);
    this.#lost = [];
  }

  async #connect(target: Target): Promise<Connection> {
    const { clock, message, unfollowed } = this.deps;
    const ended = (reason: string): void => this.lose(`the connection to ${nameOf(target)} is lost: ${reason}`);
    const { opened, abandon } = Connection.open(target, { message, unfollowed, ended });
    const timer = clock.after(OPEN_MS, abandon);
    try {
      return await opened;
    } finally {
      timer.cancel();
    }
  }

  /** Gives the connection up and looks for another. */
  lose(reason: string): void {
    const wasUsed = this.connection !== undefined;
    this.#drop();
    if (wasUsed) this.#failed(new LinkFault(reason, "", false));
  }

  #drop(): void {
    const open = [this.connection, this.#opening, this.#writer];
    this.connection = undefined;
    this.#opening = undefined;
    this.#writer = undefined;
    for (const connection of open) {
      if (connection?.identity !== undefined) this.#lost.push(connection.identity);
      connection?.end();
    }
    this.#lost.splice(0, this.#lost.length - LOST_MAX);
  }

  #failed(fault: LinkFault): void {
    if (this.#closed) return;
    this.deps.failed(fault);
    this.#retry?.cancel();
    // Not all nodes in the same moment.
    this.#retry = this.deps.clock.after(this.#retryMs * (0.5 + Math.random() / 2), () => void this.open());
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  /** `durable`: resolves when the replicas that are asked for have it. `asking`: for a slot that is on its way here. */
  send(command: readonly string[], { durable = false, asking = false } = {}): Promise<unknown> {
    const connection = durable ? (this.#writer ?? this.connection) : this.connection;
    if (connection === undefined) return Promise.reject(notSent("Redis is away"));
    if (asking) connection.send(["ASKING"]).catch(() => undefined);
    const sent = connection.send(command);
    return connection === this.#writer ? this.#replicated(connection, sent) : sent;
  }

  async #replicated(writer: Connection, sent: Promise<unknown>): Promise<unknown> {
    // One `WAIT` for all of this turn: it stands behind the last of them.
    this.#waiting ??= Promise.resolve().then(() => this.#wait(writer));
    const [answer] = await Promise.all([sent, this.#waiting]);
    return answer;
  }

  async #wait(writer: Connection): Promise<void> {
    this.#waiting = undefined;
    const { waitReplicas } = this.deps;
    const count = await writer.send(["WAIT", String(waitReplicas), String(WAIT_MS)]);
    if (!(Number(count) >= waitReplicas))
      throw notSent(`${String(count)} of ${waitReplicas} replicas have it; it may have been kept`);
  }

  tick(): void {
    this.connection?.tick();
    this.#opening?.tick();
    this.#writer?.tick();
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#drop();
  }
}

/** Not every user may end connections. */
function passed(error: unknown): void {
  if (!(error instanceof RedisRefusal)) throw error;
}

export function nameOf({ host, port }: Address): string {
  return `Redis at ${host.includes(":") ? `[${host}]` : host}:${port}`;
}
