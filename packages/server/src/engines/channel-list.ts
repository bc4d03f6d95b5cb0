/** The channels of one engine, by name: listing and the slow walk over all of them. */
import type { BrokerChannel } from "../ports/broker.ts";
import type { ChannelHistory } from "./channel-history.ts";

/** Channels looked at in one step of the walk: about a millisecond of work. */
const WALK_STEP = 5_000;

/** How often the walk takes a step. */
export const SWEEP_INTERVAL_MS = 1_000;

export interface ListQuery {
  readonly after?: string;
  readonly prefix?: string;
  readonly limit: number;
}

/**
 * The first names in order, found in one pass: sorting a hundred thousand names for a page of fifty would hold the
 * event loop. `trim` is called for what is shown. What was never published to is listed only while somebody is subscribed to it.
 */
export function listChannels<C extends ChannelHistory>(
  channels: Iterable<C>,
  query: ListQuery,
  trim: (channel: C) => void,
): BrokerChannel[] {
  const { after, prefix, limit } = query;
  const page: C[] = [];
  for (const channel of channels) {
    const { name } = channel;
    if (after !== undefined && name <= after) continue;
    if (prefix !== undefined && !name.startsWith(prefix)) continue;
    if (channel.top === 0 && !channel.subscribed) continue;
    const last = page[limit - 1];
    if (last !== undefined && name > last.name) continue;
    page.splice(placeOf(page, name), 0, channel);
    if (page.length > limit) page.pop();
  }
  return page.map((channel) => {
    trim(channel);
    return { channel: channel.name, top: channel.position, kept: channel.kept };
  });
}

function placeOf(sorted: readonly ChannelHistory[], name: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as ChannelHistory).name < name) low = middle + 1;
    else high = middle;
  }
  return low;
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
