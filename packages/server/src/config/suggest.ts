/** "Did you mean": the nearest of the known names. */

/** `; did you mean X?`, or nothing where no known name is near. `prefix` begins the name and the known ones, and makes none of them alike. */
export function suggestion(name: string, known: readonly string[], prefix = ""): string {
  const ends = known.filter((word) => word.startsWith(prefix)).map((word) => word.slice(prefix.length));
  const nearest = nearestOf(name.slice(prefix.length), ends);
  return nearest === undefined ? "" : `; did you mean ${prefix}${nearest}?`;
}

/** The known name that differs least from this one, if it differs by no more than a third of its letters. */
export function nearestOf(name: string, known: readonly string[]): string | undefined {
  const wanted = plain(name);
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of known) {
    // Of two equally near names the one that begins the same way is more likely meant.
    const distance = editDistance(wanted, plain(candidate)) - commonStart(wanted, plain(candidate)) / 100;
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  if (best === undefined) return undefined;
  return bestDistance <= Math.max(1, Math.floor(Math.max(wanted.length, plain(best).length) / 3)) ? best : undefined;
}

function commonStart(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

/** `history_size`, `history-size` and `historySize` are the same word written by different habits. */
function plain(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, "");
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let cost = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) cost = Math.min(cost, (beforeLast[column - 2] ?? 0) + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length] ?? 0;
}
