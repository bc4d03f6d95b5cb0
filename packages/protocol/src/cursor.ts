/**
 * Cursors: the positions of several channels in one opaque word, for clients that cannot send frames (`since=` in a query,
 * `Last-Event-ID`). base64url of `channel=epoch.offset` joined by commas; neither a channel name nor an epoch holds a
 * comma, and the last `=` and the last `.` end the name and the epoch.
 */
import { channelFault } from "./channel.ts";
import type { Position } from "./publication.ts";

/** Longest cursor, in bytes: proxies cut headers at 8 KB. */
export const CURSOR_BYTES_MAX = 4096;

/** Made when it is first needed: mini programs have none, and need none. */
let decoder: TextDecoder | undefined;

/** Makes a cursor, or `undefined` when the positions do not fit into `CURSOR_BYTES_MAX`. */
export function encodeCursor(positions: ReadonlyMap<string, Position>): string | undefined {
  const parts: string[] = [];
  for (const [channel, position] of positions) parts.push(`${channel}=${position.epoch}.${position.offset}`);
  const bytes = new TextEncoder().encode(parts.join(","));
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  const cursor = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return cursor.length > CURSOR_BYTES_MAX ? undefined : cursor;
}

/** Reads a cursor; `undefined` when the word is none. */
export function decodeCursor(cursor: string): Map<string, Position> | undefined {
  if (cursor.length > CURSOR_BYTES_MAX || !/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  let text: string;
  try {
    const binary = atob(cursor.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
    // `ignoreBOM` keeps a byte order mark, which is then refused: one list of positions has one cursor.
    decoder ??= new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    text = decoder.decode(bytes);
  } catch {
    return undefined;
  }
  const positions = new Map<string, Position>();
  for (const part of text.split(",")) {
    const match = /^(.+)=([A-Za-z0-9_-]{1,64})\.(\d{1,16})$/su.exec(part);
    const [, channel, epoch, digits] = match ?? [];
    const offset = Number(digits);
    if (channel === undefined || epoch === undefined || channelFault(channel) !== undefined) return undefined;
    if (!Number.isSafeInteger(offset)) return undefined;
    positions.set(channel, { epoch, offset });
  }
  return positions;
}
