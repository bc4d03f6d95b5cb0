/** Native protocol: JSON frames with a `type`. */
import { decodeCommand, encodeFrame, encodeHistory, encodeMessage, messagePrefix } from "@longwire/protocol";
import { Disconnect } from "../base/failures.ts";
import type { Frame } from "../ports/connection.ts";
import type { Protocol } from "../ports/protocol.ts";

export function nativeProtocol(depthMax: number): Protocol {
  return {
    form: "native",
    decode: (data) => decodeCommand(textOf(data), depthMax),
    encode: encodeFrame,
    encodeHistory,
    framer(channel) {
      const prefix = messagePrefix(channel);
      return ({ offset, data, encoding, name, user }) =>
        encodeMessage(prefix, { offset: offset === 0 ? undefined : offset, data, encoding, name, user });
    },
  };
}

function textOf(data: Frame): string {
  if (typeof data !== "string") throw new Disconnect("binaryFrame");
  return data;
}
