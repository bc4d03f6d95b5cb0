/** An operation: one method of one path of the API. The router, the checks and the OpenAPI description all come from it. */
import type { ErrorName } from "@longwire/protocol";
import { z } from "zod";
import type { Scope } from "../config/api-key.ts";
import type { Grant } from "./guard.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

type ParameterOf<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParameterOf<Rest>
  : never;

/** One request, checked. */
export interface Call<Parameter extends string, Query, Body> {
  readonly parameters: Readonly<Record<Parameter, string>>;
  readonly query: Query;
  readonly body: Body;
  readonly grant: Grant;
}

interface Shown {
  readonly method: Method;
  readonly tag: string;
  /** Name for generated clients. */
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  /** Schema of the body where it differs from the one that is checked. */
  readonly bodyShown?: z.ZodType;
  /** Absent: answers 204 without a body. */
  readonly answer?: z.ZodType;
  /** Errors of its own, beside those that every operation of its kind has. */
  readonly errors?: readonly ErrorName[];
}

/** What is at a path. Without `scope`, anybody may ask. */
export interface Operation extends Shown {
  readonly path: string;
  readonly scope: Scope | undefined;
  readonly query: z.ZodType | undefined;
  readonly body: z.ZodType | undefined;
  /** A short cut for bodies that are plainly good; undefined: `body` has to judge. */
  readonly accept: ((value: unknown) => unknown) | undefined;
  /** No body is an empty object. */
  readonly bodyOptional: boolean;
  /** Whether a key that is limited to namespaces may call it; which channels, `parameters` and `run` look after. */
  readonly confinable: boolean;
  /** Resolves to the answer's JSON value, or a whole response; undefined: 204. */
  readonly run: (call: Call<string, unknown, unknown>) => unknown;
}

interface Definition<Path extends string, Query, Body> extends Shown {
  readonly path: Path;
  readonly scope?: Scope;
  readonly query?: z.ZodType<Query>;
  readonly body?: z.ZodType<Body>;
  readonly accept?: (value: unknown) => Body | undefined;
  readonly confinable?: boolean;
  readonly run: (call: Call<ParameterOf<Path>, Query, Body>) => unknown;
}

/** Forgets the types of the parts once the compiler has seen that they fit together. */
export function operation<Path extends string, Query, Body>(definition: Definition<Path, Query, Body>): Operation {
  return {
    ...definition,
    scope: definition.scope,
    query: definition.query,
    body: definition.body,
    accept: definition.accept,
    bodyOptional: definition.body instanceof z.ZodObject && definition.body.safeParse({}).success,
    confinable: definition.confinable ?? false,
    run: definition.run as unknown as Operation["run"],
  };
}
