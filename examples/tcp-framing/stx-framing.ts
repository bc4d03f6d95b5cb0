/**
 * A framing as meters and scales have it: STX, text, ETX, and a checksum (all bytes from STX to ETX, exclusive or).
 *
 * The gateway calls three functions, after Workerman's ProtocolInterface. Errors thrown by `input` and `decode` end the connection with
 * their words; nobody else notices.
 */

const STX = 0x02;
const ETX = 0x03;

export const framing = {
  /** How many bytes the first packet has; 0: that cannot be told yet. `from` is how many were looked at before. */
  input(bytes: Uint8Array, from: number): number {
    if (bytes[0] !== STX) throw new Error("a packet begins with STX");
    const end = bytes.indexOf(ETX, from);
    return end < 0 ? 0 : end + 2;
  },

  /** The message of one packet: text, bytes, or null for one that says nothing. */
  decode(packet: Uint8Array): string {
    if (packet.at(-1) !== checksumOf(packet.subarray(0, -1))) throw new Error("the checksum is wrong");
    return new TextDecoder().decode(packet.subarray(1, -2));
  },

  /** The packet of one message. Every string and every binary publication of the channel passes here. */
  encode(message: string | Uint8Array): Uint8Array {
    const text = Buffer.from(message as string).filter((byte) => byte !== STX && byte !== ETX);
    const packet = Uint8Array.of(STX, ...text, ETX);
    return Uint8Array.of(...packet, checksumOf(packet));
  },
};

function checksumOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum ^ byte, 0);
}
