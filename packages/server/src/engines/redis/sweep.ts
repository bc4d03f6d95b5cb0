/** Removes what an owner has put into rooms, and tells who has gone by it. Whoever does it, and however often: each entry goes once. */
import { forEach, orUnavailable } from "./answers.ts";
import { TAGS, tagNumber } from "./keys.ts";
import type { Link } from "./link.ts";
import { SWEEP } from "./presence-scripts.ts";

/** Entries removed in one script. */
const STEP = 64;

/** Tags that are worked on at once. */
const AT_ONCE = 8;

export interface Owned {
  readonly link: Link;
  readonly prefix: string;
  readonly owner: string;
}

/** Keys are kept for a day after their last change, for the case that nobody is left to remove them. */
export const KEEP_MS = 24 * 60 * 60 * 1000;

export function ownKey({ prefix, owner }: Owned, tag: string): string {
  return `${prefix}{${tag}}:pw:${owner}`;
}

/** What each script about rooms is told first. */
export function roomArgs({ link, prefix, owner }: Owned, tag: string): string[] {
  return [`${prefix}{${tag}}:`, owner, String(KEEP_MS), link.publishCommand];
}

/** `proceed` is asked between steps: whether to go on. Resolves to whether nothing is left. */
export async function sweepOwner(owned: Owned, proceed: () => boolean = () => true): Promise<boolean> {
  const tags = Array.from({ length: TAGS }, (_, number) => tagNumber(number));
  let isDone = true;
  await forEach(tags, AT_ONCE, async (tag) => {
    let left = 1;
    while (left > 0 && proceed())
      left = Number(
        await orUnavailable(owned.link.run(SWEEP, [ownKey(owned, tag)], [...roomArgs(owned, tag), String(STEP)])),
      );
    if (left > 0) isDone = false;
  });
  return isDone;
}
