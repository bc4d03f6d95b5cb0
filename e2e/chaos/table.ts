/** What the storms came to, as a table of Markdown. */
import type { Outcome } from "./storm.ts";

const SYSTEMS = {
  workers: "2 workers, sqlite",
  redis: "3 nodes, Redis",
  sentinel: "3 nodes, Sentinel",
  cluster: "3 nodes, Cluster",
} as const;

const HEAD = [
  "system",
  "what is broken",
  "times",
  "publications",
  "refused",
  "lost",
  "doubled",
  "out of order",
  "gone with Redis",
  "told",
  "told in vain",
  "unseen",
  "half stored",
  "all have all after",
  "counts true after",
  "left over",
];

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function rowOf({ scenario, times, figures, refused, caughtUpMs, trueAfterMs, leaked, broken }: Outcome): string[] {
  const { publications, lost, doubled, disordered, gone, told, toldInVain, unseen, half } = figures;
  const counts = [times, publications, refused, lost, doubled, disordered, gone, told, toldInVain, unseen, half];
  const name = broken.length === 0 ? scenario.name : `**BROKEN** ${scenario.name}`;
  return [
    SYSTEMS[scenario.system],
    name,
    ...counts.map(String),
    seconds(caughtUpMs),
    seconds(trueAfterMs),
    String(leaked),
  ];
}

export function tableOf(outcomes: readonly Outcome[]): string {
  const rows = [HEAD, ...outcomes.map(rowOf)];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column < 2 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [line(HEAD), rule, ...rows.slice(1).map(line)].join("\n");
}
