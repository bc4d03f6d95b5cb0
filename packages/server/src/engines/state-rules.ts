/** Rules of the StateStore that every engine applies before it writes. */
import type { Position } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";

/** `value`: JSON text of what is there, undefined for nothing. */
export function sumOf(value: string | undefined, amount: number): number {
  const current: unknown = value === undefined ? 0 : JSON.parse(value);
  if (typeof current !== "number") throw new ReplyError("badField", "the value is no number, so nothing can be added");
  const sum = current + amount;
  if (!Number.isFinite(sum)) throw new ReplyError("badField", "the sum is no finite number");
  return sum;
}

/** Within one epoch an acknowledgement only moves forwards; another epoch is another numbering and replaces it. */
export function furthest(held: Position | undefined, next: Position): Position {
  return held !== undefined && held.epoch === next.epoch && held.offset >= next.offset ? held : next;
}

/** The user of a holder that is one of a user's devices. */
export function deviceUserOf(holder: string): string | undefined {
  const comma = holder.indexOf(",");
  return comma === -1 ? undefined : holder.slice(0, comma);
}
