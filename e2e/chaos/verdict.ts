/** What became of a storm: from what the clients got, what the publishers were told and what is kept in the end, to figures. */
import type { Acknowledged, Outcome } from "./load.ts";
import type { ClientAccount } from "./messages.ts";

export interface Stored {
  readonly offset: number;
  readonly number: number;
}

export interface Evidence {
  readonly accounts: readonly ClientAccount[];
  readonly acknowledged: ReadonlyMap<string, readonly Acknowledged[]>;
  /** `channel number` of what was said more than once. */
  readonly repeated: ReadonlySet<string>;
  readonly stored: ReadonlyMap<string, readonly Stored[]>;
  readonly once: readonly Outcome[];
  readonly storedOnce: readonly Stored[];
}

export interface Figures {
  /** Acknowledged. */
  readonly publications: number;
  /** That are kept, but did not reach somebody, who was not told. */
  readonly lost: number;
  readonly doubled: number;
  readonly disordered: number;
  /** How often somebody was told `recovered: false`. */
  readonly told: number;
  /** Though everything was still there. */
  readonly toldInVain: number;
  /** Acknowledged and not kept any more. */
  readonly gone: number;
  /** Of these, those that somebody had not seen before, and could not be told of: nobody who is left knows of them. */
  readonly unseen: number;
  /** Numbers without an entry, entries without a number, one kept twice, or elsewhere than it was acknowledged. */
  readonly half: number;
}

export function judge(evidence: Evidence): Figures {
  const { accounts, acknowledged, repeated, stored } = evidence;
  const kept = new Map([...stored].map(([channel, list]) => [channel, new Set(list.map(({ number }) => number))]));
  const isKept = (channel: string, number: number): boolean => kept.get(channel)?.has(number) === true;
  let [lost, unseen, doubled, disordered, told, toldInVain] = [0, 0, 0, 0, 0, 0];
  for (const { channel, ...account } of accounts) {
    for (const { from, to } of account.missing.filter(({ isTold }) => !isTold)) {
      for (let number = from; number <= to; number++) {
        if (isKept(channel, number)) lost++;
        else unseen++;
      }
    }
    doubled += account.doubled;
    disordered += account.disordered;
    told += account.told.length;
    // One that was repeated may have been lost and stored anew: then it was told with reason.
    const inVain = account.told.filter((last) => isKept(channel, last) && !repeated.has(`${channel} ${last}`));
    toldInVain += inVain.length;
  }
  let [publications, gone] = [0, goneOnce(evidence)];
  for (const [channel, list] of acknowledged) {
    publications += list.length;
    gone += list.filter(({ number }) => !isKept(channel, number)).length;
  }
  return { publications, lost, doubled, disordered, told, toldInVain, gone, unseen, half: halfStored(evidence) };
}

function goneOnce({ once, storedOnce }: Evidence): number {
  const kept = new Set(storedOnce.map(({ number }) => number));
  return once.filter((outcome, at) => outcome === "acknowledged" && !kept.has(at + 1)).length;
}

function halfStored({ acknowledged, repeated, stored, storedOnce }: Evidence): number {
  let half = disarray(storedOnce, false);
  for (const [channel, list] of stored) {
    half += disarray(list, true);
    // One that is kept twice is counted already, and has its place where it stands first.
    const offsets = new Map(list.toReversed().map(({ number, offset }) => [number, offset]));
    for (const { number, offset } of acknowledged.get(channel) ?? []) {
      const at = offsets.get(number);
      if (at !== undefined && at !== offset && !repeated.has(`${channel} ${number}`)) half++;
    }
  }
  return half;
}

/** Holes in the numbering, and publications that are kept twice or, where they follow each other, in the wrong order. */
function disarray(list: readonly Stored[], isOrdered: boolean): number {
  let count = 0;
  const seen = new Set<number>();
  let before: Stored | undefined;
  for (const entry of list) {
    if (before !== undefined && entry.offset !== before.offset + 1) count++;
    if (seen.has(entry.number)) count++;
    else if (isOrdered && before !== undefined && entry.number < before.number) count++;
    seen.add(entry.number);
    before = entry;
  }
  return count;
}
