/**
 * A page of the SDK that is left and opened again, each time for another transport; between two pages there is what a browser keeps.
 *
 *     const page = new Wanderer({ url: proxy.url, channel: "a", random });
 *     await until("it has all", () => page.offsets.at(-1) === 1000);
 *     await page.stop();
 */
import { Client } from "@longwire/client";
import type { Random } from "@longwire/protocol/test/random";
import { EventSource } from "eventsource";

export const WANDERED = ["websocket", "stream", "sse", "poll"] as const;

export interface WandererOptions {
  readonly url: string;
  readonly channel: string;
  readonly random: Random;
}

export class Wanderer {
  /** Of everything that was handed over, in this order. */
  readonly offsets: number[] = [];
  /** Transports it was subscribed on. */
  readonly visits = new Set<string>();
  /** It has a position: from here on nothing may be lost. */
  wasSubscribed = false;
  #isOver = false;
  readonly #stored = new Map<string, string>();
  readonly #wandering: Promise<void>;

  constructor(private readonly options: WandererOptions) {
    this.#wandering = this.#wander();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#wandering;
  }

  async #wander(): Promise<void> {
    const { random } = this.options;
    for (let turn = random.below(WANDERED.length); !this.#isOver; turn++) {
      const client = this.#open(WANDERED[turn % WANDERED.length] ?? "websocket");
      await Bun.sleep(50 + random.below(300));
      // Its first position is what it keeps: before that there is nothing to go on from.
      while (!this.wasSubscribed) await Bun.sleep(5);
      client.disconnect();
    }
  }

  #open(transport: (typeof WANDERED)[number]): Client {
    const { url, channel: name } = this.options;
    const storage = {
      getItem: (key: string) => this.#stored.get(key) ?? null,
      setItem: (key: string, value: string) => void this.#stored.set(key, value),
      removeItem: (key: string) => void this.#stored.delete(key),
    };
    const client = new Client(`${url.replace("http", "ws")}/ws`, {
      transports: [transport],
      EventSource,
      backoff: { minMs: 5, maxMs: 100 },
      resetOn: "open",
      persist: "session",
      storage: { session: storage, local: storage },
    });
    const channel = client.channel(name);
    channel.on("message", ({ offset = 0 }) => this.offsets.push(offset));
    channel.on("subscribed", () => {
      this.wasSubscribed = true;
      this.visits.add(transport);
    });
    channel.subscribe();
    client.connect();
    return client;
  }
}
