/** Which workers follow which channels. */
import { type Few, itemsOf, sizeOf, withItem, withoutItem } from "../../base/few.ts";

export class Audience<Follower extends object> {
  readonly #followers = new Map<string, Few<Follower>>();

  follow(channel: string, follower: Follower): void {
    this.#followers.set(channel, withItem(this.#followers.get(channel) ?? null, follower));
  }

  /** Returns whether it was the last one. */
  unfollow(channel: string, follower: Follower): boolean {
    const before = this.#followers.get(channel);
    if (before === undefined) return false;
    const after = withoutItem(before, follower);
    if (after === null) this.#followers.delete(channel);
    else this.#followers.set(channel, after);
    return after === null;
  }

  /** Returns the channels that nobody follows any more. All channels are looked at: a list for every follower would cost more than its rare end. */
  dismiss(follower: Follower): string[] {
    return [...this.#followers.keys()].filter((channel) => this.unfollow(channel, follower));
  }

  of(channel: string): Iterable<Follower> {
    return itemsOf(this.#followers.get(channel) ?? null);
  }

  sizeOf(channel: string): number {
    return sizeOf(this.#followers.get(channel) ?? null);
  }
}
