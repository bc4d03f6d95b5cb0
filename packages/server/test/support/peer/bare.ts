/** Every transport that brings the data of publications alone, for one channel. What came stands in `Peer.texts`. */
import { type Position, encodeCursor } from "@longwire/protocol";
import { upgradeRequest } from "../raw-socket.ts";
import { Link, Peer } from "./peer.ts";
import { delimitedReader, httpReader, OPCODES, prefixedReader, type Reader, webSocketReader } from "./readers.ts";
import { oneWay, portOf, type Target } from "./transports.ts";

export interface BareTarget extends Target {
  /** Of listeners with the framings `text` and `frame`, each for the channel that a client of it is in. */
  readonly text: { readonly port: number; readonly channel: string };
  readonly frame: { readonly port: number; readonly channel: string };
}

export interface BareWishes {
  readonly channel: string;
  readonly since?: Position | "earliest" | undefined;
  readonly token?: string;
}

export interface BareTransport {
  readonly name: string;
  /** The channel that a client is in, where it has no choice. */
  readonly channelOf?: (target: BareTarget) => string;
  /** A message is a line: what holds line breaks comes as JSON text. */
  readonly lines: boolean;
  /** That a client has gone is noticed at once; else with the next publication, or by the kernel: there is nothing to try it with. */
  readonly noticesLeaving: boolean;
  /** The end is told by a close code. */
  readonly tellsEnd: boolean;
  open(target: BareTarget, wishes: BareWishes): Promise<Peer>;
}

function queryOf({ channel, since, token }: BareWishes, inPath: boolean): URLSearchParams {
  const query = new URLSearchParams(inPath ? {} : { channel, frames: "data" });
  const cursor = typeof since === "object" ? encodeCursor(new Map([[channel, since]])) : since;
  if (cursor !== undefined) query.set("since", cursor);
  if (token !== undefined) query.set("token", token);
  return query;
}

function webSocket(name: string, pathOf: (wishes: BareWishes) => string): BareTransport {
  return {
    name,
    lines: false,
    noticesLeaving: true,
    tellsEnd: true,
    async open(target, wishes) {
      const peer = new Peer({});
      const { promise: opened, resolve } = Promise.withResolvers<void>();
      const frames = webSocketReader((opcode, payload) => {
        if (opcode === OPCODES.text) peer.text(payload.toString());
        if (opcode === OPCODES.close) peer.closeCode = payload.readUInt16BE(0);
        peer.look();
      });
      const reader = httpReader({
        head(head) {
          peer.head = head;
          resolve();
        },
        body: (bytes) => frames.push(bytes),
        end: () => peer.ended(),
      });
      const link = await Link.open(portOf(target), reader, () => peer.ended());
      peer.uses(link);
      link.send(upgradeRequest(portOf(target), pathOf(wishes)));
      await Promise.race([opened, peer.untilEnded()]);
      return peer;
    },
  };
}

function tcp(framing: "text" | "frame", readerFor: (onMessage: (text: string) => void) => Reader): BareTransport {
  return {
    name: `tcp ${framing}`,
    lines: framing === "text",
    noticesLeaving: framing === "text",
    tellsEnd: false,
    channelOf: (target) => target[framing].channel,
    async open(target) {
      const peer = new Peer({});
      const link = await Link.open(
        target[framing].port,
        readerFor((text) => peer.text(text)),
        () => peer.ended(),
      );
      peer.uses(link);
      return peer;
    },
  };
}

function answer(path: "/sse" | "/stream", readerFor: (peer: Peer) => Reader): BareTransport {
  return {
    name: `${path} with bare data`,
    lines: path === "/stream",
    noticesLeaving: true,
    tellsEnd: false,
    open: (target, wishes) =>
      oneWay(path, () => ({ method: "GET", path, query: queryOf(wishes, false) }), readerFor).open(target, {}),
  };
}

export const BARE_TRANSPORTS: readonly BareTransport[] = [
  webSocket("/raw", (wishes) => `/raw/${encodeURIComponent(wishes.channel)}?${queryOf(wishes, true)}`),
  webSocket("/ws with bare data", (wishes) => `/ws?${queryOf(wishes, false)}`),
  answer("/sse", (peer) =>
    delimitedReader("\n\n", (block) => {
      const lines = block.split("\n");
      const id = lines.find((line) => line.startsWith("id: "));
      if (id !== undefined) peer.cursor = id.slice(4);
      const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
      if (data.length > 0) peer.text(data.join("\n"));
      peer.look();
    }),
  ),
  answer("/stream", (peer) => {
    let isFirst = true;
    return delimitedReader("\n", (line) => {
      // The answer begins with a heartbeat, which is an empty line; so is an empty text.
      if (!isFirst || line !== "") peer.text(line);
      isFirst = false;
    });
  }),
  tcp("text", (onMessage) => delimitedReader("\n", onMessage)),
  tcp("frame", prefixedReader),
];
