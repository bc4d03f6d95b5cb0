/** The channels of one engine, by name: listing and the slow walk over all of them. */
import { firstByName, type NameQuery } from "../base/names.ts";
import type { BrokerChannel } from "../ports/broker.ts";
import type { ChannelHistory } from "./channel-history.ts";

/** Channels looked at in one step of the walk: about a millisecond of work. */
const WALK_STEP = 5_000;

/** How often the walk takes a step. */
export const SWEEP_INTERVAL_MS = 1_000;

/**
 * The first channels in name order. `trim` is called for what is shown. What was never published to is listed only while
 * somebody is subscribed to it.
 */
export function listChannels<C extends ChannelHistory>(
  channels: Iterable<C>,
  query: NameQuery,
  trim: (channel: C) => void,
): BrokerChannel[] {
  return firstByName(inUse(channels), ({ name }) => name, query).map((channel) => {
    trim(channel);
    return { channel: channel.name, top: channel.position, kept: channel.kept };
  });
}

function* inUse<C extends ChannelHistory>(channels: Iterable<C>): Iterable<C> {
  for (const channel of channels) if (channel.top > 0 || channel.subscribed) yield channel;
}

/**
 * A step of an endless walk over the channels, so that a million of them do not stop the loop once a second. Nothing
 * depends on its pace: reads never show what has expired.
 */
export class ChannelWalk<C extends ChannelHistory> {
  #rest: Iterator<C> | undefined;

  constructor(
    readonly channels: ReadonlyMap<string, C>,
    readonly visit: (channel: C) => void,
  ) {}

  step(): void {
    this.#rest ??= this.channels.values();
    for (let count = Math.min(WALK_STEP, this.channels.size); count > 0; count--) {
      const next = this.#rest.next();
      if (next.done === true) {
        this.#rest = undefined;
        return;
      }
      this.visit(next.value);
    }
  }
}
