/**
 * Few: a collection that mostly holds nothing or one item. A set costs some two hundred bytes even for one; a hundred
 * thousand personal channels with one subscriber each need none.
 *
 * `null` is empty, an item stands for itself, more are a set. Iterating while items are removed is safe, as with a set.
 */
export type Few<T extends object> = T | Set<T> | null;

export function withItem<T extends object>(few: Few<T>, item: T): Few<T> {
  if (few === null || few === item) return item;
  if (few instanceof Set) return few.add(item);
  return new Set([few, item]);
}

/** A set that shrinks to one item stays a set: who was many may be so again. */
export function withoutItem<T extends object>(few: Few<T>, item: T): Few<T> {
  if (few === item) return null;
  if (!(few instanceof Set)) return few;
  few.delete(item);
  return few.size === 0 ? null : few;
}

export function sizeOf<T extends object>(few: Few<T>): number {
  if (few === null) return 0;
  return few instanceof Set ? few.size : 1;
}

export function itemsOf<T extends object>(few: Few<T>): Iterable<T> {
  if (few === null) return NOTHING;
  return few instanceof Set ? few : [few];
}

const NOTHING: readonly never[] = [];
