/**
 * The keys of this engine.
 *
 * What belongs together has one hash tag, so that a script may touch all of it on a Cluster: `prefix{b17}:m:<name>`. Names of channels are
 * spread over 256 tags by their hash; a tag has no braces, so whatever stands in the name behind it changes nothing. Tags instead of the names
 * themselves, since channels of one tag can then share what would cost too much for each: the origin of their numbering, the index of their names.
 *
 *     {bNN}:m:<channel>       hash   numbering: epoch, top, the master that gave it, epochs before it
 *     {bNN}:p:<channel>       list   publications; the last one is that of the top, if anything is kept
 *     {bNN}:k:<channel> <key> string idempotency key
 *     {bNN}:o                 hash   origin: the epoch of channels that were never published to
 *     {bNN}:n                 zset   names of channels that have a numbering
 *     {bNN}:c:<channel>       pub/sub
 *
 * Other parts of the engine have kinds of their own behind the same tags (`keyOf`), or tags of their own.
 */
import { hash } from "node:crypto";

export const TAGS = 256;

/** The hash tag of a name, without braces. */
export function tagOf(name: string): string {
  return tagNumber(hash("sha1", name, "buffer")[0] as number);
}

export function tagNumber(number: number): string {
  return `b${number.toString(16).padStart(2, "0")}`;
}

/** A key of a kind for a name: keys of the same name have the same tag. */
export function keyOf(prefix: string, kind: string, name: string): string {
  return `${prefix}{${tagOf(name)}}:${kind}:${name}`;
}

export interface ChannelKeys {
  readonly meta: string;
  readonly list: string;
  /** Behind it stands the key. */
  readonly idempotency: string;
  readonly origin: string;
  readonly names: string;
  readonly messages: string;
}

/** Made when they are asked for: a node may follow a hundred thousand channels, and most of their keys are never needed. */
class NamedKeys implements ChannelKeys {
  readonly #tag: string;
  readonly #channel: string;

  constructor(prefix: string, channel: string) {
    this.#tag = `${prefix}{${tagOf(channel)}}`;
    this.#channel = channel;
  }

  get meta(): string {
    return `${this.#tag}:m:${this.#channel}`;
  }

  get list(): string {
    return `${this.#tag}:p:${this.#channel}`;
  }

  get idempotency(): string {
    return `${this.#tag}:k:${this.#channel} `;
  }

  get origin(): string {
    return `${this.#tag}:o`;
  }

  get names(): string {
    return `${this.#tag}:n`;
  }

  get messages(): string {
    return `${this.#tag}:c:${this.#channel}`;
  }
}

export function channelKeys(prefix: string, channel: string): ChannelKeys {
  return new NamedKeys(prefix, channel);
}
