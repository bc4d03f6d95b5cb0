/** How members stand in Redis (`presence-scripts.ts`). */
import type { Json, Member } from "@longwire/protocol";

/** What is kept of a member beside its session. */
export interface Entry {
  /** Empty for nobody's session. */
  readonly user: string;
  /** What its JSON text has beside session and user, without braces. */
  readonly rest: string;
}

export function entryOf({ user = "", info, data }: Member): Entry {
  const rest = JSON.stringify({ ...(info !== undefined && { info }), ...(data !== undefined && { data }) });
  return { user, rest: rest.slice(1, -1) };
}

/** `value`: owner, user and rest, in lines. */
export function memberOf(session: string, value: string): Member {
  const first = value.indexOf("\n");
  const second = value.indexOf("\n", first + 1);
  const user = value.slice(first + 1, second);
  const rest = JSON.parse(`{${value.slice(second + 1)}}`) as { readonly info?: Json; readonly data?: Json };
  return { session, ...(user !== "" && { user }), ...rest };
}
