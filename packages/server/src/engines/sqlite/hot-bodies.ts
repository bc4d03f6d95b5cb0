/**
 * Which bodies stay in memory: those of the newest publications of the whole engine, up to a budget. Older ones are read
 * from the database when a history needs them.
 */
import type { Publication } from "../../ports/broker.ts";
import type { ChannelHistory } from "../channel-history.ts";

/** What a publication costs beside its data, roughly. */
const OVERHEAD_BYTES = 160;

/** Below this many entries of publications that are gone, the queue is not cleaned up. */
const SLACK_MIN = 4_096;

export function bytesOf(body: Publication): number {
  return body.data.length + OVERHEAD_BYTES;
}

export class HotBodies {
  bytes = 0;
  #live = 0;
  // Two arrays instead of pairs: no object per publication.
  #channels: ChannelHistory[] = [];
  #offsets: number[] = [];
  #head = 0;

  constructor(readonly bytesMax: number) {}

  /** Entries of the queue, those of publications that are gone included. */
  get waiting(): number {
    return this.#offsets.length;
  }

  /** A body has come into memory; older ones go. */
  add(channel: ChannelHistory, offset: number, body: Publication): void {
    this.#channels.push(channel);
    this.#offsets.push(offset);
    this.#live++;
    this.bytes += bytesOf(body);
    while (this.bytes > this.bytesMax && this.#head < this.#offsets.length) this.#coolOldest();
    if (this.#offsets.length > 2 * this.#live + SLACK_MIN) this.#clean();
  }

  /** A body has left memory together with its publication. */
  dropped(body: Publication): void {
    this.#live--;
    this.bytes -= bytesOf(body);
  }

  #coolOldest(): void {
    const channel = this.#channels[this.#head] as ChannelHistory;
    const offset = this.#offsets[this.#head] as number;
    this.#head++;
    if (offset < channel.first) return;
    const body = channel.bodyOf(offset);
    if (body === null) return;
    channel.setBody(offset, null);
    this.dropped(body);
  }

  /** Without it, one old publication at the head would hold the entries of all that came and went after it. */
  #clean(): void {
    const channels: ChannelHistory[] = [];
    const offsets: number[] = [];
    for (let at = this.#head; at < this.#offsets.length; at++) {
      const channel = this.#channels[at] as ChannelHistory;
      const offset = this.#offsets[at] as number;
      if (offset < channel.first || channel.bodyOf(offset) === null) continue;
      channels.push(channel);
      offsets.push(offset);
    }
    this.#channels = channels;
    this.#offsets = offsets;
    this.#head = 0;
  }
}
