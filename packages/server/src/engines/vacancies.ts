/**
 * Channels that are followed but were never published to: most personal channels, at any time.
 *
 * They cost a map entry here and no history, no row on disk: they all share one epoch, the origin, which the engine keeps for
 * its whole life (measured at 15,000 connections: a history and a row for each cost 2 KB a connection). A position `{origin, 0}` stays
 * good when the first publication comes, since the channel then takes this epoch for its own. When the engine forgets
 * a channel that was numbered in the origin, a new origin begins, or the same offsets would be given out again; channels
 * followed at that time keep the epoch they were told.
 */
import type { Position } from "@longwire/protocol";

export class Vacancies {
  readonly #followed = new Map<string, string>();

  constructor(public origin: string) {}

  follow(name: string): Position {
    const position = this.positionOf(name);
    this.#followed.set(name, position.epoch);
    return position;
  }

  /** Returns whether it was followed. */
  unfollow(name: string): boolean {
    return this.#followed.delete(name);
  }

  positionOf(name: string): Position {
    return { epoch: this.#followed.get(name) ?? this.origin, offset: 0 };
  }

  /** The channel comes into being: its epoch, and whether it is followed. */
  fill(name: string): { readonly epoch: string; readonly followed: boolean } {
    const { epoch } = this.positionOf(name);
    return { epoch, followed: this.#followed.delete(name) };
  }

  /** To be asked when a numbering is forgotten: begins a new origin if the old one would let it begin again. */
  renew(forgotten: { readonly epoch: string; readonly top: number }, origin: () => string): boolean {
    if (forgotten.epoch !== this.origin || forgotten.top === 0) return false;
    this.origin = origin();
    return true;
  }
}
