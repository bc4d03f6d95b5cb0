/** Structured logs: an event name and fields. Pino writes them; the rest of the house knows only this interface. */
import pino from "pino";

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** A function makes the fields only if they are written: on the way of every connection even a look at its address costs. */
  debug(event: string, fields: () => LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  /** A bug or an outage. `error` in the fields is written with its stack. */
  error(event: string, fields?: LogFields): void;
}

export interface LeveledLogger extends Logger {
  setLevel(level: LogLevel): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** `json`: a line of JSON per event on standard output. `pretty`: words for a person at a terminal. */
export type LogFormat = "json" | "pretty";

/** `always`: fields of every line. */
export function createLogger(level: LogLevel, format: LogFormat, always: LogFields | null = null): LeveledLogger {
  const sink = pino(
    {
      level,
      base: always,
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error: pino.stdSerializers.err },
      formatters: { level: (level) => ({ level }) },
    },
    format === "json" ? process.stdout : { write: (line: string) => process.stdout.write(prettyLine(line)) },
  );
  return {
    debug(event, fields) {
      if (sink.isLevelEnabled("debug")) sink.debug(fields(), event);
    },
    info: (event, fields) => sink.info(fields ?? {}, event),
    warn: (event, fields) => sink.warn(fields ?? {}, event),
    error: (event, fields) => sink.error(fields ?? {}, event),
    setLevel(next) {
      sink.level = next;
    },
  };
}

/** `12:30:05 info  listening port=8080`: one line per event, fields as words, stacks below. */
function prettyLine(line: string): string {
  const { level, time, msg, error, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const words = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  const failure = error as { message?: string; stack?: string } | undefined;
  const stack = failure === undefined ? "" : ` ${failure.message ?? ""}\n${failure.stack ?? ""}`;
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${String(msg)}${words.join("")}${stack}\n`;
}
