/** Native protocol: JSON frames with a `type`; and its bare form, which carries nothing but the data of publications. */
import {
  decodeCommand,
  encodeFrame,
  encodeHistory,
  encodeMessage,
  messagePrefix,
  type ServerFrame,
} from "@longwire/protocol";
import type { Publication } from "../ports/broker.ts";
import type { Protocol } from "../ports/protocol.ts";

export function nativeProtocol(depthMax: number): Protocol {
  return {
    form: "native",
    decode: (text) => decodeCommand(text, depthMax),
    encode: encodeFrame,
    encodeHistory,
    framer(channel) {
      const prefix = messagePrefix(channel);
      return ({ offset, data, name, user }: Publication) =>
        encodeMessage(prefix, { offset: offset === 0 ? undefined : offset, data, name, user });
    },
  };
}

/** `?frames=data`: what comes out is the bare `data`, without greeting, replies or goodbyes; what goes in is native. */
export function bareProtocol(depthMax: number): Protocol {
  return {
    ...nativeProtocol(depthMax),
    form: "native-data",
    encode: (frame: ServerFrame) => (frame.type === "message" ? JSON.stringify(frame.data) : null),
    encodeHistory: () => null,
    framer: () => (publication: Publication) => publication.data,
  };
}
