/** The first names in order. */

export interface NameQuery {
  readonly after?: string | undefined;
  readonly prefix?: string | undefined;
  readonly limit: number;
}

/**
 * At most `limit` items, by code unit order of their names, found in one pass: sorting a hundred thousand names for a page of
 * fifty would hold the event loop.
 */
export function firstByName<T>(items: Iterable<T>, nameOf: (item: T) => string, query: NameQuery): T[] {
  const { after, prefix, limit } = query;
  const page: T[] = [];
  const names: string[] = [];
  for (const item of items) {
    const name = nameOf(item);
    if (after !== undefined && name <= after) continue;
    if (prefix !== undefined && !name.startsWith(prefix)) continue;
    const last = names[limit - 1];
    if (last !== undefined && name > last) continue;
    const place = placeOf(names, name);
    page.splice(place, 0, item);
    names.splice(place, 0, name);
    if (page.length <= limit) continue;
    page.pop();
    names.pop();
  }
  return page;
}

function placeOf(sorted: readonly string[], name: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as string) < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
