/**
 * Readers that come back on another transport each time, chosen at random, with their positions and their session.
 *
 *     const bob = new Roamer({ target, channels: ["a", "b"], random });       // goes at once
 *     await until("it has all", () => bob.positions.get("a")?.offset === 1000);
 *     await bob.stop();
 *     expect(bob.offsets.get("a")).toEqual([1, 2, 3, …]);
 *
 * `target` is where the server is, or the proxies before it; both may be away at any time.
 */
import type { Position, ServerFrame } from "@longwire/protocol";
import type { Random } from "@longwire/protocol/test/random";
import type { Peer, Wishes } from "longwire/test/peer";
import { type Target, type Transport, TRANSPORTS } from "longwire/test/transports";

export interface RoamerOptions {
  readonly target: Target;
  readonly channels: readonly string[];
  readonly random: Random;
  readonly token?: string;
  /** The longest it stays on one connection. */
  readonly stayMsMax?: number;
  /** Called with everything that came, in order, when it leaves a connection. */
  readonly watch?: (frame: ServerFrame) => void;
}

export class Roamer {
  readonly offsets = new Map<string, number[]>();
  readonly data = new Map<string, unknown[]>();
  readonly positions = new Map<string, Position>();
  /** How often it came back, by transport. */
  readonly visits = new Map<string, number>();
  /** How often the stream could not be continued. */
  breaks = 0;
  #session: string | undefined;
  #isOver = false;
  readonly #roaming: Promise<void>;

  constructor(private readonly options: RoamerOptions) {
    for (const channel of options.channels) {
      this.offsets.set(channel, []);
      this.data.set(channel, []);
    }
    this.#roaming = this.#roam();
  }

  /** It has a position everywhere: from here on nothing may be lost. */
  get isSubscribed(): boolean {
    return this.positions.size === this.options.channels.length;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#roaming;
  }

  async #roam(): Promise<void> {
    const { random, target, stayMsMax = 400 } = this.options;
    while (!this.#isOver) {
      const transport = random.pick(TRANSPORTS);
      const peer = await this.#open(transport, target);
      if (peer === undefined) {
        await Bun.sleep(10);
        continue;
      }
      this.visits.set(transport.name, (this.visits.get(transport.name) ?? 0) + 1);
      const leavesAt = Date.now() + random.below(stayMsMax);
      while (!peer.isEnded && !this.#isOver && Date.now() < leavesAt) await Bun.sleep(5);
      // What comes after this moment counts as lost on the way.
      this.#take(peer);
      peer.drop();
    }
  }

  /** Undefined: the server, or the way to it, is not there, or was cut before everything was answered. */
  async #open(transport: Transport, target: Target): Promise<Peer | undefined> {
    const { channels, token } = this.options;
    const wishes: Wishes = {
      ...(token !== undefined && { token }),
      ...(this.#session !== undefined && { session: this.#session }),
      subscribe: channels.map((channel) => ({ channel, since: this.positions.get(channel) })),
    };
    return transport.open(target, wishes).catch(() => undefined);
  }

  #take(peer: Peer): void {
    this.#session = peer.session;
    for (const [channel, position] of peer.positions) this.positions.set(channel, position);
    for (const frame of peer.frames) {
      this.options.watch?.(frame);
      if (frame.type === "subscribed" && !frame.recovered) this.breaks++;
      if (frame.type !== "message" || frame.channel === undefined) continue;
      this.offsets.get(frame.channel)?.push(frame.offset ?? 0);
      this.data.get(frame.channel)?.push(frame.data);
    }
  }
}
