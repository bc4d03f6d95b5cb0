/**
 * A broker that behaves like one across a bad network: answers come late, and what it hands to the sink gets lost, doubled and
 * out of order. Its history is right. Put around a real one:
 *
 *     buildCore({ wrap: { sink: (hub) => new ChaosSink(hub, random), broker: (broker) => new ChaosBroker(broker, random) } })
 */
import type { Position } from "@longwire/protocol";
import type { Broker, Draft, HistoryPage, HistoryQuery, Publication, Published, Sink } from "../../src/ports/broker.ts";

/** A number from 0 below 1. */
type Chance = () => number;

/** Loses, doubles and delays what passes, as often as `evil` says (0: never). */
export class ChaosSink implements Sink {
  evil = 0.1;

  constructor(
    private readonly next: Sink,
    private readonly random: Chance,
  ) {}

  publication(channel: string, epoch: string, publication: Publication): void {
    const hand = (): void => this.next.publication(channel, epoch, publication);
    const fate = this.random() / this.evil;
    if (fate < 0.4) return;
    if (fate < 0.7) hand();
    if (fate < 1) setImmediate(hand);
    else hand();
  }

  event(...told: Parameters<Sink["event"]>): void {
    this.next.event(...told);
  }

  top(...told: Parameters<Sink["top"]>): void {
    this.next.top(...told);
  }

  fenced(): void {
    this.next.fenced();
  }
}

export class ChaosBroker implements Broker {
  constructor(
    private readonly inner: Broker,
    private readonly random: Chance,
  ) {}

  publish(channel: string, draft: Draft): Promise<Published> {
    return this.inner.publish(channel, draft);
  }

  async subscribe(channel: string): Promise<Position> {
    await this.#late();
    const top = await this.inner.subscribe(channel);
    await this.#late();
    return top;
  }

  unsubscribe(channel: string): void {
    this.inner.unsubscribe(channel);
  }

  async history(channel: string, query: HistoryQuery): Promise<HistoryPage> {
    await this.#late();
    const page = await this.inner.history(channel, query);
    await this.#late();
    return page;
  }

  clear(channel: string): Promise<void> {
    return this.inner.clear(channel);
  }

  channels(query: {
    readonly after?: string;
    readonly prefix?: string;
    readonly limit: number;
  }): ReturnType<Broker["channels"]> {
    return this.inner.channels(query);
  }

  async #late(): Promise<void> {
    for (let turns = Math.floor(this.random() * 4); turns > 0; turns--) {
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
}
