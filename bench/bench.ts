/** What every section of the bench is given. */
import type { Children } from "./children.ts";
import type { NativeTools } from "./native.ts";
import type { Report } from "./report.ts";

export interface BenchOptions {
  /** Length of one measurement. */
  readonly seconds: number;
  /** How often the compared measurements are repeated; the median counts. */
  readonly rounds: number;
  readonly peers: readonly PeerName[];
}

export const PEER_NAMES = ["ws", "socketio", "nchan"] as const;
export type PeerName = (typeof PEER_NAMES)[number];

export interface Bench {
  readonly children: Children;
  readonly tools: NativeTools;
  /** For data folders and the like; removed at the end. */
  readonly folder: string;
  readonly options: BenchOptions;
  readonly report: Report;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
