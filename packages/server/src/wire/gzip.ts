/**
 * A gzip stream (RFC 1952) made of blocks that need nothing of what was before them, so that one block can stand in the streams of a
 * thousand clients at the same time. Each ends on a byte boundary: what was sent can be read at once.
 */
import { constants, crc32, deflateRawSync } from "node:zlib";

/** Shorter texts gain less than the work costs, and are stored as they are. */
export const DEFLATED_BYTES_MIN = 1024;

/** The longest stored block (RFC 1951, 3.2.4). */
const STORED_BYTES_MAX = 65_535;

/** A stored block of no bytes. */
const EMPTY_BLOCK = Uint8Array.of(0, 0, 0, 0xff, 0xff);

/** Deflate, no name, no time, unknown system. */
export const GZIP_HEADER: Uint8Array = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);

/** The bytes as deflate blocks, none of them the last one of its stream. */
export function gzipBlock(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= DEFLATED_BYTES_MIN) return deflateRawSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });
  return storedBlock(bytes);
}

/**
 * An empty block follows the one with the bytes, as zlib ends every flush: Go's readers, Caddy's among them, hand on what they have
 * at an empty block and not before (measured).
 */
function storedBlock(bytes: Uint8Array): Uint8Array {
  if (bytes.length > STORED_BYTES_MAX) throw new RangeError("a stored block has at most 65,535 bytes");
  const block = new Uint8Array(5 + bytes.length + EMPTY_BLOCK.length);
  const view = new DataView(block.buffer);
  view.setUint16(1, bytes.length, true);
  view.setUint16(3, ~bytes.length & 0xffff, true);
  block.set(bytes, 5);
  block.set(EMPTY_BLOCK, 5 + bytes.length);
  return block;
}

/** Whether an `Accept-Encoding` takes gzip: what is named counts before what the star says of the rest (RFC 9110, 12.5.3). */
export function takesGzip(acceptEncoding: string | null): boolean {
  let rest = false;
  for (const part of acceptEncoding?.toLowerCase().split(",") ?? []) {
    const [coding, ...parameters] = part.split(";").map((word) => word.trim());
    const isTaken = !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    if (coding === "gzip") return isTaken;
    if (coding === "*") rest = isTaken;
  }
  return rest;
}

/** What a stream has to remember for its end. */
export interface GzipTally {
  readonly crc: number;
  readonly length: number;
}

export const EMPTY_TALLY: GzipTally = { crc: 0, length: 0 };

export function tallied({ crc, length }: GzipTally, bytes: Uint8Array): GzipTally {
  return { crc: crc32(bytes, crc), length: (length + bytes.length) >>> 0 };
}

/** An empty last block, the checksum and the length: a reader that finds them missing calls the stream broken. */
export function gzipTrailer({ crc, length }: GzipTally): Uint8Array {
  const trailer = new Uint8Array(10);
  const view = new DataView(trailer.buffer);
  trailer.set([0x03, 0x00]);
  view.setUint32(2, crc, true);
  view.setUint32(6, length, true);
  return trailer;
}
