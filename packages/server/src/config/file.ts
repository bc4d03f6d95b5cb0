/** The configuration file: finds it, parses it, says where in it a key stands. */
import { existsSync, readFileSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import type { Fault } from "./setting.ts";

/** Looked for in the working directory when no file is named. */
export const FILE_NAMES = ["longwire.toml", "longwire.yaml", "longwire.yml", "longwire.json"] as const;

export interface ConfigFile {
  /** As it was named, for messages. */
  readonly name: string;
  readonly tree: Readonly<Record<string, unknown>>;
  /** Where the key stands, as words: `longwire.toml line 3`, or the name alone where that cannot be told. */
  readonly place: (path: readonly string[]) => string;
}

type Format = "TOML" | "YAML" | "JSON";

const FORMATS: Readonly<Record<string, Format>> = { ".toml": "TOML", ".yaml": "YAML", ".yml": "YAML", ".json": "JSON" };

/** Above this many lines a syntax fault is not searched for: the search parses the file once per line. */
const SEARCH_LINES_MAX = 2000;

/** The named file, or the one in the working directory; `undefined` if there is none or a fault was reported. */
export function readConfigFile(
  cwd: string,
  named: { readonly file: string; readonly source: string } | undefined,
  report: (fault: Fault) => void,
): ConfigFile | undefined {
  if (named !== undefined) return parseFile(resolve(cwd, named.file), named.file, named.source, report);
  const present = FILE_NAMES.filter((name) => existsSync(resolve(cwd, name)));
  const [name] = present;
  if (name === undefined) return undefined;
  if (present.length > 1) {
    const message = `there is also ${present.slice(1).join(" and ")}; keep one, or name it with --config`;
    report({ path: name, source: name, message });
    return undefined;
  }
  return parseFile(resolve(cwd, name), name, name, report);
}

function parseFile(path: string, name: string, source: string, report: (fault: Fault) => void): ConfigFile | undefined {
  const fault = (message: string): undefined => report({ path: name, source, message }) as undefined;
  const format = FORMATS[extname(path).toLowerCase()];
  if (format === undefined) return fault("must end in .toml, .yaml, .yml or .json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    return fault(`cannot be read: ${(error as Error).message}`);
  }
  let tree: unknown;
  try {
    tree = parse(format, text);
  } catch (error) {
    const reason = (error as Error).message.replace(/^\w+ Parse error: /, "");
    return fault(`is not good ${format}: ${reason}${faultPlace(format, text)}`);
  }
  // An empty YAML file is null.
  tree ??= {};
  if (typeof tree !== "object" || Array.isArray(tree)) return fault("must hold options by name");
  const label = basename(name);
  return {
    name,
    tree: tree as Readonly<Record<string, unknown>>,
    place: (keys) => {
      const line = lineOf(keys, text);
      return line === undefined ? label : `${label} line ${line}`;
    },
  };
}

function parse(format: Format, text: string): unknown {
  const plain = text.replace(/^\uFEFF/, "");
  if (format === "TOML") return Bun.TOML.parse(plain);
  return format === "YAML" ? Bun.YAML.parse(plain) : JSON.parse(plain);
}

/**
 * The runtime's parsers do not say where they stopped. What stands before the fault can be parsed, what holds it cannot, so the
 * longest run of whole lines that parses ends just before it (or before the value of several lines that holds it).
 * JSON has no parseable beginning.
 */
function faultPlace(format: Format, text: string): string {
  const lines = text.split("\n");
  if (format === "JSON" || lines.length > SEARCH_LINES_MAX) return "";
  for (let count = lines.length - 1; count >= 0; count--) {
    try {
      parse(format, lines.slice(0, count).join("\n"));
      return `, at line ${count + 1}`;
    } catch {
      continue;
    }
  }
  return "";
}

/** The line of a key, if exactly one line of the file can be it: a wrong line would mislead more than none. */
function lineOf(path: readonly string[], text: string): number | undefined {
  const key = path.findLast((part) => !/^\d+$/.test(part));
  if (key === undefined) return undefined;
  const escaped = key.replace(/[^A-Za-z0-9_]/g, "\\$&");
  const pattern = new RegExp(`(^|[\\s.{,\\["'])${escaped}["']?\\s*[=:.\\]]`);
  const lines = text.split("\n").flatMap((line, index) => (pattern.test(stripComment(line)) ? [index + 1] : []));
  return lines.length === 1 ? lines[0] : undefined;
}

function stripComment(line: string): string {
  return line.replace(/(^|\s)#.*$/, "");
}
