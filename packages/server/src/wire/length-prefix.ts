/** Packets that begin with their length: four bytes, big-endian, counting themselves (Workerman's Frame protocol). */

export const PREFIX_BYTES = 4;

/** The length that the bytes claim, whatever it is; undefined until four bytes are there. */
export function prefixedLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < PREFIX_BYTES) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, PREFIX_BYTES).getUint32(0);
}

export function withoutPrefix(packet: Uint8Array): Uint8Array {
  return packet.subarray(PREFIX_BYTES);
}

export function withPrefix(body: Uint8Array): Uint8Array {
  const packet = new Uint8Array(PREFIX_BYTES + body.length);
  new DataView(packet.buffer).setUint32(0, packet.length);
  packet.set(body, PREFIX_BYTES);
  return packet;
}
