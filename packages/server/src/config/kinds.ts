/**
 * Kinds of option values. A kind says what is allowed in words and as JSON Schema, checks a value that came from a file, and reads
 * the text of an environment variable or a flag. Kinds are written by hand and not with a validation library because one
 * description has to serve all four, and because a refused value must be shown in the words of the place it came from.
 */

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Takes a fault found in a value: where in the value, and what is wrong. */
export type Report = (path: readonly string[], message: string) => void;

export interface Kind<T> {
  /** What is allowed, as words that follow "must be". */
  readonly allowed: string;
  readonly schema: JsonSchema;
  /** Checks a value; what it reports makes the result meaningless. */
  check(value: unknown, path: readonly string[], report: Report): T;
  /** What `check` takes, from the text of an environment variable or a flag. Text it cannot read is handed on as it is. */
  fromText(text: string): unknown;
  /** The value with its secrets hidden; absent where the kind holds none. */
  mask?(value: T): T;
}

/** What stands where a secret was. */
export const MASK = "********";

/** A value as words in an error message. It may be anything (YAML can even hold rings), so only scalars are shown, cut short. */
export function found(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value);
  if (value === undefined) return "nothing";
  return Array.isArray(value) ? "a list" : "an object";
}

export function refuse(report: Report, path: readonly string[], allowed: string, value: unknown): void {
  report(path, `must be ${allowed}; found ${found(value)}`);
}

export function integer(least: number, most: number): Kind<number> {
  const allowed =
    most === Number.MAX_SAFE_INTEGER ? `an integer from ${least} up` : `an integer from ${least} to ${most}`;
  return {
    allowed,
    schema: {
      type: "integer",
      minimum: least,
      ...(most === Number.MAX_SAFE_INTEGER ? undefined : { maximum: most }),
    },
    check(value, path, report) {
      const good = Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
      if (!good) refuse(report, path, allowed, value);
      return value as number;
    },
    // Digits only: Number() would take " 80 ", "0x50" and "8e3", which nobody means to write here.
    fromText: (text) => (/^-?\d{1,16}$/.test(text) ? Number(text) : text),
  };
}

/** A number, or the word. */
export function integerOr<const W extends string>(word: W, least: number, most: number): Kind<number | W> {
  const number = integer(least, most);
  const allowed = `${number.allowed}, or ${word}`;
  return {
    allowed,
    schema: { anyOf: [number.schema, { const: word }] },
    check(value, path, report) {
      if (value !== word) number.check(value, path, (at) => refuse(report, at, allowed, value));
      return value as number | W;
    },
    fromText: (text) => number.fromText(text),
  };
}

export function integerOrOff(least: number, most: number): Kind<number | "off"> {
  return integerOr("off", least, most);
}

export const flag: Kind<boolean> = {
  allowed: "true or false",
  schema: { type: "boolean" },
  check(value, path, report) {
    if (typeof value !== "boolean") refuse(report, path, flag.allowed, value);
    return value as boolean;
  },
  fromText(text) {
    const word = text.toLowerCase();
    if (["true", "1", "yes", "on"].includes(word)) return true;
    if (["false", "0", "no", "off"].includes(word)) return false;
    return text;
  },
};

/** Text that is not empty. */
export const text: Kind<string> = {
  allowed: "text that is not empty",
  schema: { type: "string", minLength: 1 },
  check(value, path, report) {
    if (typeof value !== "string" || value.trim() === "") refuse(report, path, text.allowed, value);
    return value as string;
  },
  fromText: (word) => word,
};

/** Text that no message, log line or `config print` may show. Without white space, so that it can travel in a header. */
export function secret(bytesMin: number): Kind<string> {
  const allowed = `text of at least ${bytesMin} bytes without white space or control characters`;
  return {
    allowed,
    schema: { type: "string", minLength: bytesMin },
    check(value, path, report) {
      if (typeof value !== "string") {
        report(path, `must be ${allowed}; found ${value === null ? "null" : typeof value}`);
      } else if (/[\s\p{Cc}]/u.test(value)) {
        report(path, `must be ${allowed}; found such a character`);
      } else if (Buffer.byteLength(value) < bytesMin) {
        report(path, `must be ${allowed}; found ${Buffer.byteLength(value)}`);
      }
      return value as string;
    },
    fromText: (word) => word,
    mask: () => MASK,
  };
}

/** One of a few words. */
export function word<const W extends string>(...words: readonly W[]): Kind<W> {
  const allowed = words.length === 1 ? String(words[0]) : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
  return {
    allowed,
    schema: { enum: words },
    check(value, path, report) {
      if (!words.includes(value as W)) refuse(report, path, allowed, value);
      return value as W;
    },
    fromText: (text) => text,
  };
}

/** A list. In an environment variable or a flag it is JSON, or, where the items are plain words, also `a,b,c`. */
export function list<T>(
  item: Kind<T>,
  options: { readonly allowed: string; readonly least?: number; readonly plainWords?: boolean },
): Kind<readonly T[]> {
  const { allowed, least = 0, plainWords = false } = options;
  return {
    allowed,
    schema: { type: "array", items: item.schema, ...(least > 0 ? { minItems: least } : undefined) },
    check(value, path, report) {
      if (!Array.isArray(value) || value.length < least) {
        refuse(report, path, allowed, item.mask === undefined ? value : MASK);
        return [];
      }
      return value.map((entry, index) => item.check(entry, [...path, String(index)], report));
    },
    fromText: (text) => (plainWords && !text.trimStart().startsWith("[") ? splitWords(text) : fromJson(text)),
    ...(item.mask === undefined
      ? undefined
      : { mask: (values: readonly T[]) => values.map((value) => item.mask?.(value) ?? value) }),
  };
}

/** Text as JSON; the text itself where it is none, for `check` to refuse. */
export function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function splitWords(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
