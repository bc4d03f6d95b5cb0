/** What handlers of `message` get. */
import type { Json, MessageFrame } from "@longwire/protocol";

/** A publication, or a message without `offset` that is not kept. */
export interface Message<T> {
  readonly channel: string;
  readonly data: T;
  readonly offset?: number;
  readonly name?: string;
  /** Who published it, as the server knows. */
  readonly user?: string;
}

/** `channel` is empty for what is said to this session alone. */
export function messageOf({ type: _, ...message }: MessageFrame): Message<Json> {
  return { channel: "", ...message };
}
