/** One value as one source gave it, and what can be wrong with it. */

export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
  /** Where it stands, as words: `longwire.toml line 3`, `LONGWIRE_PORT`, `--port`. */
  readonly source: string;
}

export interface Fault {
  /** The key path, or the name that is no option's. */
  readonly path: string;
  readonly source: string;
  readonly message: string;
}

/** The configuration cannot be used. Carries every fault that was found, not only the first. */
export class ConfigError extends Error {
  readonly advice =
    "`longwire config sample` prints every option with its default; `longwire config check` reads the configuration without starting.";

  constructor(readonly faults: readonly Fault[]) {
    super(
      [
        faults.length === 1 ? "the configuration has a fault:" : `the configuration has ${faults.length} faults:`,
        ...faults.map(faultLine),
      ].join("\n"),
    );
  }
}

function faultLine({ path, source, message }: Fault): string {
  const place = source === path || source === "" ? path : `${path} (${source})`;
  return `  ${place}: ${message}`;
}

/** `["apiKeys", "0", "key"]` -> `apiKeys[0].key`; names that are no plain words stand in quotes. */
export function keyPath(path: readonly string[]): string {
  return path
    .map((key, index) => {
      if (index > 0 && /^\d+$/.test(key)) return `[${key}]`;
      return `${index > 0 ? "." : ""}${/^[\w-]+$/.test(key) ? key : JSON.stringify(key)}`;
    })
    .join("");
}
