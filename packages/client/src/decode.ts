/** Reads what the server sends. It is trusted to keep to the protocol, a proxy's error page on the way is not. */
import type { Json, MessageFrame, ServerFrame } from "@longwire/protocol";

/** `undefined` for what is no frame, as text or read already. A frame of a type that is not known yet is one all the same. */
export function decodeFrame(message: ServerFrame | string): ServerFrame | undefined {
  try {
    const frame = (typeof message === "string" ? JSON.parse(message) : message) as ServerFrame | null;
    return typeof frame?.type === "string" ? frame : undefined;
  } catch {
    return undefined;
  }
}

/** A publication, or a message without `offset` that is not kept. */
export interface Message<T> {
  readonly channel: string;
  readonly data: T;
  readonly offset?: number;
  readonly name?: string;
  /** `base64`: `data` stands for bytes, written so. */
  readonly encoding?: "base64";
  /** Who published it, as the server knows. */
  readonly user?: string;
}

/** `channel` is empty for what is said to this session alone. */
export function messageOf(frame: MessageFrame): Message<Json> {
  const { type: _type, ...message } = frame;
  return { channel: "", ...message };
}
