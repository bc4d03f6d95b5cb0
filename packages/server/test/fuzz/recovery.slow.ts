/**
 * Recovery against a model. Clients subscribe, leave, drop, stall and come back at random while publications pour in over a
 * broker that loses, doubles and delays. The model is simple: a client that holds a position may only ever be shown the next
 * offset, or be told `subscribed` with another position; and in the end everybody has everything or was told otherwise.
 */
import { expect, test } from "bun:test";
import type { Position, ServerFrame } from "@longwire/protocol";
import { Random } from "@longwire/protocol/test/random";
import { ChaosBroker, ChaosSink } from "../support/chaos-broker.ts";
import { buildCore, type CoreHouse, type CoreSession, OPEN, settle } from "../support/core.ts";

const CHANNELS = ["a", "b", "c"];
const CLIENTS = 12;
const STEPS = 400;
const ROUNDS = process.env["LONGWIRE_SLOW"] === "full" ? 1500 : 150;

/** What a client knows of a channel, as an application's client would. */
interface Follow {
  position: Position | undefined;
  /** `subscribed` has come on this connection. */
  live: boolean;
}

class ModelClient {
  session: CoreSession | undefined;
  readonly follows = new Map<string, Follow>();
  #read = 0;
  #asked = new Map<string, Position | "earliest" | undefined>();
  /** Until `unsubscribed` has come, frames of the channel are of the old subscription. */
  readonly #leaving = new Set<string>();

  constructor(private readonly house: CoreHouse) {}

  async come(topics: boolean): Promise<void> {
    this.session = await this.house.open({ topics });
    this.#read = 0;
    this.#asked = new Map();
    this.#leaving.clear();
    for (const follow of this.follows.values()) follow.live = false;
  }

  subscribe(channel: string, since: Position | "earliest" | undefined): void {
    if (this.session === undefined || this.#asked.has(channel) || this.#leaving.has(channel)) return;
    this.#asked.set(channel, since);
    if (!this.follows.has(channel)) this.follows.set(channel, { position: undefined, live: false });
    void this.session.say({ type: "subscribe", channel, ...(since !== undefined && { since }) });
  }

  unsubscribe(channel: string): void {
    if (this.session === undefined || this.follows.get(channel)?.live !== true) return;
    this.follows.delete(channel);
    this.#asked.delete(channel);
    this.#leaving.add(channel);
    void this.session.say({ type: "unsubscribe", channel });
  }

  async drop(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    if (session !== undefined) await session.drop();
  }

  /** Takes what has come and checks every frame. */
  read(): void {
    const frames = this.session?.connection.frames() ?? [];
    for (const frame of frames.slice(this.#read)) this.#take(frame);
    this.#read = frames.length;
  }

  #take(frame: ServerFrame): void {
    if (frame.type === "unsubscribed") this.#leaving.delete(frame.channel);
    if (frame.type === "error") throw new Error(`refused: ${frame.message}`);
    if (frame.type === "subscribed") this.#subscribed(frame.channel, frame, frame.recovered);
    if (frame.type !== "message" || frame.channel === undefined) return;
    const follow = this.follows.get(frame.channel);
    if (follow === undefined) return;
    if (!follow.live || follow.position === undefined) throw new Error("a message before `subscribed`");
    if (frame.offset !== follow.position.offset + 1) {
      throw new Error(`${frame.channel}: ${frame.offset} after ${follow.position.offset}`);
    }
    if (frame.data !== frame.offset)
      throw new Error(`${frame.channel}: offset ${frame.offset} carries ${JSON.stringify(frame.data)}`);
    follow.position = { epoch: follow.position.epoch, offset: frame.offset };
  }

  #subscribed(channel: string, { epoch, offset }: Position, recovered: boolean): void {
    const follow = this.follows.get(channel);
    if (follow === undefined) return;
    const asked = this.#asked.get(channel);
    const held = follow.live ? follow.position : typeof asked === "object" ? asked : undefined;
    if (recovered && held !== undefined && (held.epoch !== epoch || held.offset !== offset)) {
      throw new Error(`${channel}: said to be recovered from ${held.offset}, but goes on at ${offset}`);
    }
    follow.position = { epoch, offset };
    follow.live = true;
  }
}

async function round(random: Random): Promise<void> {
  const chance = (): number => random.below(1_000_000) / 1_000_000;
  let sink: ChaosSink | undefined;
  const house = buildCore({
    settings: { channels: { ...OPEN, historySize: 40 }, queueBytesMax: 4096, recoveryMax: 35 },
    wrap: {
      sink: (hub) => (sink = new ChaosSink(hub, chance)),
      broker: (broker) => new ChaosBroker(broker, chance),
    },
  });
  if (sink === undefined) throw new Error("no sink");
  const clients = Array.from({ length: CLIENTS }, () => new ModelClient(house));
  const tops = new Map(CHANNELS.map((channel) => [channel, 0]));
  const publish = (channel: string): void => {
    const offset = (tops.get(channel) ?? 0) + 1;
    tops.set(channel, offset);
    void house.control.publish({ channel, data: String(offset) });
  };

  for (let step = 0; step < STEPS; step++) {
    const client = random.pick(clients);
    const channel = random.pick(CHANNELS);
    const { session } = client;
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        for (let n = random.below(12); n >= 0; n--) publish(channel);
        break;
      case 3:
        if (session === undefined) await client.come(random.chance(60));
        break;
      case 4:
      case 5: {
        const held = client.follows.get(channel)?.position;
        const bogus = { epoch: held?.epoch ?? "x", offset: random.below(200) };
        client.subscribe(channel, random.pick([undefined, "earliest", held, held, held, bogus]));
        break;
      }
      case 6:
        client.unsubscribe(channel);
        break;
      case 7:
        if (random.chance(40)) await client.drop();
        break;
      case 8:
        if (session !== undefined) session.connection.stalled = random.chance(50);
        break;
      default:
        if (session !== undefined && !session.connection.stalled) {
          session.connection.take();
          house.gateway.drained(session.handle);
        }
        await new Promise<void>((resolve) => setImmediate(resolve));
    }
    client.read();
    // Whoever was sent away as slow comes back later, like anybody else.
    if (client.session?.connection.goodbye !== undefined) await client.drop();
  }
  await finish(house, sink, clients, tops, publish);
}

/** The network is good again: after one more publication each, everybody stands at the top. */
async function finish(
  house: CoreHouse,
  sink: ChaosSink,
  clients: readonly ModelClient[],
  tops: ReadonlyMap<string, number>,
  publish: (channel: string) => void,
): Promise<void> {
  sink.evil = 1e-12;
  await settle();
  for (const channel of CHANNELS) publish(channel);
  for (let turn = 0; turn < 30; turn++) {
    for (const { session } of clients) {
      if (session === undefined) continue;
      session.connection.stalled = false;
      session.connection.take();
      house.gateway.drained(session.handle);
    }
    await settle();
  }
  for (const client of clients) {
    client.read();
    if (client.session === undefined || client.session.connection.goodbye !== undefined) continue;
    for (const [channel, { position, live }] of client.follows) {
      if (live) expect([channel, position?.offset]).toEqual([channel, tops.get(channel)]);
    }
  }
  expect(house.errors).toEqual([]);
  house.stop();
}

test("[P1] [P2] [P3] every client sees every offset once and in order, or is told that it cannot", async () => {
  const seed = Number(process.env["LONGWIRE_SEED"] ?? 1);
  for (let n = 0; n < ROUNDS; n++) {
    try {
      await round(new Random(seed + n));
    } catch (cause) {
      throw new Error(`round ${n} failed, LONGWIRE_SEED=${seed + n} begins with it: ${String(cause)}`, { cause });
    }
  }
});
