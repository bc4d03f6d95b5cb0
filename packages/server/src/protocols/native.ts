/** Native protocol: JSON frames with a `type`. */
import {
  CommandFault,
  decodeCommand,
  encodeFrame,
  encodeHistory,
  encodeMessage,
  messagePrefix,
} from "@longwire/protocol";
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

/** The same in lines, where bytes that are no text are one bad line and not another kind of message. */
export function nativeLines(depthMax: number): Protocol {
  const native = nativeProtocol(depthMax);
  return {
    ...native,
    decode(line) {
      if (typeof line !== "string") throw new CommandFault("malformed", "the line is no UTF-8", undefined);
      return native.decode(line);
    },
  };
}

function textOf(data: Frame): string {
  if (typeof data !== "string") throw new Disconnect("binaryFrame");
  return data;
}
