/** What the application has given a session, as it is written down: for the store, and for another process. */
import type { SessionLuggage } from "./model.ts";

export interface KeptLuggage extends Pick<SessionLuggage, "channels" | "data"> {
  readonly boundUser: string | null;
  /** Absent in what earlier versions have kept. */
  readonly keys?: readonly string[];
}

/** `none`: it is not connected there. `foreign`: it is of another user. `moved`: it has just gone to another process. */
export type LuggageAnswer =
  | { readonly has: "luggage"; readonly luggage: KeptLuggage }
  | { readonly has: "moved"; readonly to: string }
  | { readonly has: "none" | "foreign" };

/** `over`: it was sent away since it was asked about. */
export type YieldAnswer =
  | { readonly has: "luggage"; readonly luggage: KeptLuggage }
  | { readonly has: "moved"; readonly to: string }
  | { readonly has: "none" | "over" };

export function packed(luggage: SessionLuggage): KeptLuggage {
  return { ...luggage, boundUser: luggage.boundUser ?? null };
}

export function unpacked({ boundUser, channels, data, keys }: KeptLuggage): SessionLuggage {
  return { boundUser: boundUser ?? undefined, channels, data, keys: keys ?? [] };
}

export function isEmpty({ boundUser, channels, data, keys }: SessionLuggage): boolean {
  return boundUser === undefined && channels.length === 0 && keys.length === 0 && Object.keys(data).length === 0;
}
