/** A row of the table of options, and the ways to write one. */
import type { Kind } from "./kinds.ts";

/** A row of the table. `T` is the type in `Config`: it holds `undefined` where leaving the option out means something. */
export interface Option<T> {
  readonly kind: Kind<Exclude<T, undefined>>;
  readonly fallback: T;
  /** Whether no value may be shown. */
  readonly secret: boolean;
  /** Whether a reload (SIGHUP) takes a new value. */
  readonly reloadable: boolean;
  readonly doc: string;
  /** What happens when the option is left out and has no default. */
  readonly absent: string | undefined;
}

export function option<T>(kind: Kind<T>, fallback: NoInfer<T>, doc: string): Option<T> {
  return {
    kind: kind as Kind<Exclude<T, undefined>>,
    fallback,
    secret: kind.mask !== undefined,
    reloadable: true,
    doc,
    absent: undefined,
  };
}

/** An option that may be left out; `absent` says what then happens. */
export function optional<T>(kind: Kind<T>, absent: string, doc: string): Option<T | undefined> {
  return {
    kind: kind as Kind<Exclude<T, undefined>>,
    fallback: undefined,
    secret: kind.mask !== undefined,
    reloadable: true,
    doc,
    absent,
  };
}

/** What is settled with the ports, the engine, or every connection that is open. */
export function atStart<T>(row: Option<T>): Option<T> {
  return { ...row, reloadable: false };
}

export type Table = Readonly<Record<string, Option<unknown>>>;

/** The values of a table. */
export type Values<T> = { readonly [K in keyof T]: T[K] extends Option<infer V> ? V : never };
