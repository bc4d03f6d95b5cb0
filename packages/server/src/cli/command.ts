/** What every sub-command is, and what it may use of the world: tests hand in their own. */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { suggestion } from "../config/suggest.ts";

export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** A line for standard output: what was asked for. */
  out(line: string): void;
  /** A line for standard error: everything else. */
  error(line: string): void;
}

/** `cannot`: asked for something good that could not be done. `usage`: asked for something that does not exist. */
export const EXIT = { ok: 0, cannot: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface Command {
  readonly help: string;
  run(args: readonly string[], terminal: Terminal): Promise<ExitCode>;
}

/** The command was written wrong; printed with a hint at `--help`. */
export class UsageError extends Error {}

/** The command was right and cannot be done; printed with its advice. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly advice?: string,
  ) {
    super(message);
  }
}

export interface Arguments {
  /** What stands outside of flags. */
  readonly words: readonly string[];
  text(flag: string): string | undefined;
  given(flag: string): boolean;
}

/** Reads a command's own flags; those of the configuration are `loadConfig`'s. */
export function readArguments(args: readonly string[], flags: Readonly<Record<string, "text" | "boolean">>): Arguments {
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, kind] of Object.entries(flags)) options[name] = { type: kind === "text" ? "string" : "boolean" };
  for (const argument of args) {
    if (argument === "--") break;
    const name = /^--([^=]+)/.exec(argument)?.[1];
    if (name !== undefined && !Object.hasOwn(flags, name)) {
      const known = Object.keys(flags).map((flag) => `--${flag}`);
      throw new UsageError(`there is no flag --${name} here${suggestion(`--${name}`, known, "--")}`);
    }
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  return {
    words: positionals,
    text(flag) {
      const value = values[flag];
      if (value === "") throw new UsageError(`--${flag} needs a value`);
      return typeof value === "string" ? value : undefined;
    },
    given: (flag) => values[flag] === true,
  };
}
