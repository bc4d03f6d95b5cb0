/** Pages of names: sorted by code unit, after a name, at most so many. */

export function pageOf(
  names: Iterable<string>,
  { after, limit }: { readonly after?: string | undefined; readonly limit: number },
): { page: string[]; more: boolean } {
  const wanted: string[] = [];
  for (const name of names) if (after === undefined || name > after) wanted.push(name);
  wanted.sort();
  return { page: wanted.slice(0, limit), more: wanted.length > limit };
}
