/** Removes what an owner has put into rooms, and tells who has gone by it. Whoever does it, and however often: each entry goes once. */
import { forEach, orUnavailable } from "./answers.ts";
import { TAGS, tagNumber } from "./keys.ts";
import type { Link } from "./link.ts";
import type { Entry } from "./presence-entry.ts";
import { CHANGE } from "./presence-scripts.ts";

/** Entries removed at a time. */
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

/** One entry, by `channel \n session`, and what is to become of it (`CHANGE`). */
export interface Step {
  readonly id: string;
  readonly sign: "+" | "=" | "-";
  readonly entry: Entry | undefined;
}

/** Entries of one tag, in one script. */
export async function changeEntries(owned: Owned, tag: string, steps: readonly Step[]): Promise<void> {
  const { link, prefix, owner } = owned;
  const place = `${prefix}{${tag}}:`;
  const args = [place, owner, String(KEEP_MS), link.publishCommand];
  const channels = new Set<string>();
  for (const { id, sign, entry } of steps) {
    const [channel = "", session = ""] = id.split("\n");
    channels.add(channel);
    args.push(channel, session, `${sign}${entry?.user ?? ""}`, entry?.rest ?? "");
  }
  const rooms = [...channels].flatMap((channel) => ["pm", "po", "pp"].map((kind) => `${place}${kind}:${channel}`));
  await orUnavailable(link.run(CHANGE, [ownKey(owned, tag), ...rooms], args));
}

/** `proceed` is asked between steps: whether to go on. Resolves to whether nothing is left. */
export async function sweepOwner(owned: Owned, proceed: () => boolean = () => true): Promise<boolean> {
  const tags = Array.from({ length: TAGS }, (_, number) => tagNumber(number));
  let isDone = true;
  await forEach(tags, AT_ONCE, async (tag) => {
    const key = ownKey(owned, tag);
    for (;;) {
      const ids = (await orUnavailable(owned.link.call(key, ["SRANDMEMBER", key, String(STEP)]))) as unknown[];
      if (ids.length === 0) return;
      if (!proceed()) break;
      const steps = ids.map((id): Step => ({ id: String(id), sign: "-", entry: undefined }));
      await changeEntries(owned, tag, steps);
    }
    isDone = false;
  });
  return isDone;
}
