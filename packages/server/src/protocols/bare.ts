/**
 * Bare forms: what comes out is the `data` of publications alone, without greeting, replies or goodbyes: a string as its text, any other
 * value as JSON text, binary as bytes or, where the transport carries text only, as base64.
 */
import type { ServerFrame } from "@longwire/protocol";
import type { Frame } from "../ports/connection.ts";
import type { BareMessage, Protocol } from "../ports/protocol.ts";
import { nativeProtocol } from "./native.ts";

/** `?frames=data`: what comes out is bare, what goes in is native. */
export function dataProtocol(depthMax: number): Protocol {
  const native = nativeProtocol(depthMax);
  return { ...outOf("data", textOf), decode: (data) => native.decode(data) };
}

/** Bare in both directions, for one channel. `binary`: whether the transport keeps text and bytes apart. */
export class BareProtocol implements Protocol {
  readonly form: string;
  readonly encode: Protocol["encode"];
  readonly encodeHistory: Protocol["encodeHistory"];
  readonly framer: Protocol["framer"];

  constructor(
    readonly channel: string,
    binary: boolean,
  ) {
    const { form, encode, encodeHistory, framer } = binary ? IN_BYTES : IN_TEXT;
    this.form = form;
    this.encode = encode;
    this.encodeHistory = encodeHistory;
    this.framer = framer;
  }

  decode(message: Frame): BareMessage {
    const { channel } = this;
    if (typeof message === "string") return { type: "bare", channel, data: JSON.stringify(message) };
    return { type: "bare", channel, data: `"${Buffer.from(message).toString("base64")}"`, encoding: "base64" };
  }
}

const IN_TEXT = outOf("bare-text", textOf);
const IN_BYTES = outOf("bare", (data, encoding) =>
  encoding === undefined ? textOf(data) : Buffer.from(data.slice(1, -1), "base64"),
);

/** `form` with the ways out; `frameOf` takes JSON text. */
function outOf(
  form: string,
  frameOf: (data: string, encoding: "base64" | undefined) => Frame,
): Pick<Protocol, "form" | "encode" | "encodeHistory" | "framer"> {
  return {
    form,
    encode: (frame: ServerFrame) =>
      frame.type === "message" ? frameOf(JSON.stringify(frame.data), frame.encoding) : null,
    encodeHistory: () => null,
    framer: () => (publication) => frameOf(publication.data, publication.encoding),
  };
}

function textOf(data: string): string {
  if (!data.startsWith('"')) return data;
  return JSON.parse(data) as string;
}
