/** What a run prints, and keeps for --json: tables, and figures beside their targets. */

export type Row = Readonly<Record<string, string | number>>;

export interface Target {
  /** The target's number in docs/benchmarks.md. */
  readonly id: string;
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
  /** Which side of the limit is good. */
  readonly good: "at most" | "at least";
  readonly unit: string;
}

export class Report {
  readonly #tables: { title: string; rows: Row[] }[] = [];
  readonly #targets: Target[] = [];
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  say(text: string): void {
    this.#write(`${text}\n`);
  }

  table(title: string, rows: readonly Row[]): void {
    this.#tables.push({ title, rows: [...rows] });
    this.say(`\n## ${title}\n\n${formatTable(rows)}`);
  }

  target(target: Target): void {
    this.#targets.push(target);
  }

  sayTargets(): void {
    if (this.#targets.length === 0) return;
    const rows = this.#targets.map((target) => ({
      id: target.id,
      what: target.what,
      measured: `${round(target.measured)} ${target.unit}`.trim(),
      target: `${target.good} ${target.limit} ${target.unit}`.trim(),
      reached: reached(target) ? "yes" : "NO",
    }));
    this.say(`\n## Targets\n\n${formatTable(rows)}`);
  }

  toJSON(): unknown {
    return {
      tables: this.#tables,
      targets: this.#targets.map((target) => ({ ...target, reached: reached(target) })),
    };
  }
}

function reached({ good, measured, limit }: Target): boolean {
  return good === "at most" ? measured <= limit : measured >= limit;
}

/** Three significant digits: what is behind them is noise. */
export function round(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

/** A Markdown table whose columns also line up in a terminal. */
export function formatTable(rows: readonly Row[]): string {
  const first = rows[0];
  if (first === undefined) return "(nothing)";
  const names = Object.keys(first);
  const cell = (row: Row, name: string): string => {
    const value = row[name] ?? "";
    return typeof value === "number" ? round(value).toLocaleString("en-US") : value;
  };
  const numeric = (name: string): boolean => rows.some((row) => typeof row[name] === "number");
  const widths = names.map((name) => Math.max(name.length, 3, ...rows.map((row) => cell(row, name).length)));
  const line = (text: (name: string) => string): string => {
    const padded = names.map((name, index) => {
      const width = widths[index] ?? 0;
      return numeric(name) ? text(name).padStart(width) : text(name).padEnd(width);
    });
    return `| ${padded.join(" | ")} |`;
  };
  const rule = names.map((name, index) => {
    const dashes = "-".repeat((widths[index] ?? 3) - 1);
    return numeric(name) ? `${dashes}:` : `${dashes}-`;
  });
  return [line((name) => name), `| ${rule.join(" | ")} |`, ...rows.map((row) => line((name) => cell(row, name)))].join(
    "\n",
  );
}
