/** The channels that have a numbering, in name order, out of the indexes of all tags. */
import type { NameQuery } from "../../base/names.ts";
import { tagNumber, TAGS } from "./keys.ts";
import type { Link } from "./link.ts";

/** Names asked of each index at first: names are spread evenly, so a few of each make a page. */
const SPARE = 4;

interface Index {
  readonly key: string;
  readonly names: string[];
  /** There are no names behind the last one. */
  whole: boolean;
}

/** At most `limit` names. By their bytes, as Redis has them: astral characters come last, other than in the order of UTF-16. */
export async function firstNames(link: Link, prefix: string, query: NameQuery): Promise<string[]> {
  const { limit } = query;
  const indexes = Array.from({ length: TAGS }, (_, number): Index => ({
    key: `${prefix}{${tagNumber(number)}}:n`,
    names: [],
    whole: false,
  }));
  const step = Math.min(limit, Math.ceil(limit / TAGS) + SPARE);
  let open = indexes;
  for (;;) {
    await Promise.all(open.map((index) => readMore(link, index, query, step)));
    const page = indexes
      .flatMap(({ names }) => names)
      .toSorted(byBytes)
      .slice(0, limit);
    const last = page.at(-1);
    // An index may have more names for the page if all that it has given are on it.
    open = indexes.filter(
      ({ whole, names }) =>
        !whole && (page.length < limit || last === undefined || byBytes(names.at(-1) ?? "", last) < 0),
    );
    if (open.length === 0) return page;
  }
}

async function readMore(link: Link, index: Index, { after, prefix }: NameQuery, step: number): Promise<void> {
  const last = index.names.at(-1) ?? after;
  let start = last === undefined ? "-" : `(${last}`;
  if (prefix !== undefined && (last === undefined || byBytes(last, prefix) < 0)) start = `[${prefix}`;
  const answer = await link.call(index.key, ["ZRANGEBYLEX", index.key, start, "+", "LIMIT", "0", String(step)]);
  const names = answer as string[];
  const fitting = prefix === undefined ? names : names.filter((name) => name.startsWith(prefix));
  index.names.push(...fitting);
  index.whole = names.length < step || fitting.length < names.length;
}

export function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
