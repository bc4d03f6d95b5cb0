/**
 * Every transport of the native protocol, with the same four words: `open`, and what of a `Peer` it can do. What a transport cannot say is told by
 * its `can`, and the contract (test/contracts/transport.ts) gives the reason where it leaves something out.
 */
import { createGunzip } from "node:zlib";
import { type Command, encodeCursor, type Position, type ServerFrame } from "@longwire/protocol";
import { upgradeRequest, webSocketFrame } from "../raw-socket.ts";
import { Link, Peer, type Wishes } from "./peer.ts";
import { delimitedReader, httpReader, OPCODES, type Reader, webSocketReader } from "./readers.ts";

/** Where a server is. */
export interface Target {
  readonly url: string;
  /** Of the listener in lines of JSON. */
  readonly tcpPort: number;
  /** The certificate of one that speaks TLS. */
  readonly ca?: string | undefined;
}

export interface Transport {
  readonly name: string;
  /** Resolves when everything asked for is answered, or refused. */
  open(target: Target, wishes: Wishes): Promise<Peer>;
  /** Says a command for this peer, and returns the reply. */
  say(target: Target, peer: Peer, command: Command): Promise<ServerFrame>;
  readonly can: {
    /** Ask for presence, events, `echo: false` and JSON pings: these are words of frames, a query has none for them. */
    readonly frames: boolean;
    /** Something of the server waits for its reading: a poll's answer is bounded as such, and nothing waits behind it. */
    readonly stall: boolean;
    /** It is told apart from its own silence: a poll's answer is its heartbeat. */
    readonly heartbeat: boolean;
  };
}

export const portOf = ({ url }: Target): number => Number(new URL(url).port);

const EVERYTHING = { frames: true, stall: true, heartbeat: true } as const;

function framed(text: string): ServerFrame {
  return JSON.parse(text) as ServerFrame;
}

/** The frames that say it; with ids, so that each is answered. */
function commandsOf({ token, session, ping, subscribe = [] }: Wishes): object[] {
  return [
    {
      type: "connect",
      id: 1,
      ...(token !== undefined && { token }),
      ...(session !== undefined && { session }),
      ...(ping !== undefined && { ping }),
    },
    ...subscribe.map((wish, at) => ({ type: "subscribe", id: at + 2, ...wish })),
  ];
}

/** The query that says it. */
export function queryOf({ token, session, subscribe = [] }: Wishes): URLSearchParams {
  const query = new URLSearchParams();
  if (token !== undefined) query.set("token", token);
  if (session !== undefined) query.set("session", session);
  for (const { channel } of subscribe) query.append("channel", channel);
  const words = new Set(subscribe.flatMap(({ since }) => (typeof since === "string" ? [since] : [])));
  const positions = new Map(
    subscribe.flatMap(({ channel, since }): [string, Position][] =>
      typeof since === "object" ? [[channel, since]] : [],
    ),
  );
  const since = positions.size > 0 ? encodeCursor(positions) : [...words][0];
  if (since !== undefined) query.set("since", since);
  return query;
}

// Two-way transports: websocket and tcp.

function twoWay(
  name: string,
  portFor: (target: Target) => number,
  hello: (target: Target, wishes: Wishes) => string,
  encode: (command: string) => string | Uint8Array,
  readerFor: (peer: Peer, opened: () => void) => Reader,
): Transport {
  const links = new WeakMap<Peer, Link>();
  let lastId = 1000;
  return {
    name,
    can: EVERYTHING,
    async open(target, wishes) {
      const peer = new Peer(wishes);
      const { promise: opened, resolve } = Promise.withResolvers<void>();
      const link = await Link.open(portFor(target), readerFor(peer, resolve), () => peer.ended(), target.ca);
      peer.uses(link);
      links.set(peer, link);
      const greeting = hello(target, wishes);
      if (greeting === "") resolve();
      else link.send(greeting);
      await peer.opening(Promise.race([opened, peer.untilEnded()]));
      const commands = commandsOf(wishes);
      for (const command of commands) link.send(encode(JSON.stringify(command)));
      await peer.opening(peer.until("all replies", () => peer.isEnded || idsOf(peer) >= commands.length));
      const [first] = peer.frames;
      if (first?.type === "error") peer.refused = first.code;
      return peer;
    },
    async say(_target, peer, command) {
      const id = ++lastId;
      links.get(peer)?.send(encode(JSON.stringify({ ...command, id })));
      const isReply = (frame: ServerFrame): boolean => "id" in frame && frame.id === id;
      await peer.until(`a reply to ${command.type}`, () => peer.frames.some(isReply));
      return peer.frames.find(isReply) as ServerFrame;
    },
  };
}

function idsOf(peer: Peer): number {
  return peer.frames.filter((frame) => "id" in frame && frame.id !== undefined).length;
}

export const WEBSOCKET = twoWay(
  "websocket",
  portOf,
  (target, { headers }) => upgradeRequest(portOf(target), "/ws", headers),
  (text) => webSocketFrame("text", text),
  (peer, opened) => {
    const frames = webSocketReader((opcode, payload) => {
      if (opcode === OPCODES.text) peer.frame(framed(payload.toString()));
      else if (opcode === OPCODES.ping) peer.beats++;
      else if (opcode === OPCODES.close) peer.closeCode = payload.readUInt16BE(0);
      peer.look();
    });
    return httpReader({
      head(head) {
        peer.head = head;
        opened();
      },
      body: (bytes) => frames.push(bytes),
      end: () => peer.ended(),
    });
  },
);

export const TCP = twoWay(
  "tcp",
  ({ tcpPort }) => tcpPort,
  () => "",
  (text) => `${text}\n`,
  (peer) =>
    delimitedReader("\n", (line) => {
      if (line !== "") peer.frame(framed(line));
    }),
);

// One-way transports.

/** What a peer on a one-way transport says, it says by `POST /send`. */
async function sayBySend(target: Target, { session = "", wishes }: Peer, command: Command): Promise<ServerFrame> {
  const query = new URLSearchParams({ session, ...(wishes.token !== undefined && { token: wishes.token }) });
  const body = JSON.stringify({ ...command, id: 1 });
  const answer = await fetch(`${target.url}/send?${query}`, {
    method: "POST",
    body,
    ...(target.ca !== undefined && { tls: { ca: target.ca } }),
  });
  return framed(await answer.text());
}

interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body?: string;
}

function requestText(target: Target, { method, path, query, body }: Request, wishes: Wishes): string {
  const headers = {
    host: `127.0.0.1:${portOf(target)}`,
    ...(body !== undefined && { "content-length": String(Buffer.byteLength(body)) }),
    ...wishes.headers,
  };
  const lines = Object.entries(headers).map(([key, value]) => `${key}: ${value}\r\n`);
  return `${method} ${path}?${query} HTTP/1.1\r\n${lines.join("")}\r\n${body ?? ""}`;
}

/** Takes the refusal out of an answer; a proxy before the server writes pages of its own. */
function refusedBy(peer: Peer, body: string): void {
  if (!body.startsWith("{")) {
    peer.refused = -1;
    return;
  }
  const { error } = JSON.parse(body) as { error?: { code?: number } };
  peer.refused = error?.code ?? -1;
}

/** Hands a body on, unpacked where it is gzipped; unpacking takes its time, also at the end. */
class Unpacker {
  #gunzip: ReturnType<typeof createGunzip> | undefined;

  constructor(
    private readonly isGzip: () => boolean,
    private readonly take: (bytes: Buffer) => void,
  ) {}

  push(bytes: Buffer): void {
    if (!this.isGzip()) return this.take(bytes);
    if (this.#gunzip === undefined) {
      this.#gunzip = createGunzip();
      this.#gunzip.on("data", this.take);
    }
    this.#gunzip.write(bytes);
  }

  end(done: () => void): void {
    if (this.#gunzip === undefined) return done();
    this.#gunzip.on("end", done);
    // Cut in the middle, as some tests want it.
    this.#gunzip.on("error", done);
    this.#gunzip.end();
  }
}

export function oneWay(
  name: string,
  requestFor: (wishes: Wishes) => Request,
  readerFor: (peer: Peer) => Reader,
  can: Transport["can"] = EVERYTHING,
  headers: Readonly<Record<string, string>> = {},
): Transport {
  return {
    name,
    can,
    async open(target, asked) {
      const wishes = { ...asked, headers: { ...headers, ...asked.headers } };
      const peer = new Peer(wishes);
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      const content = readerFor(peer);
      let refusal = "";
      const isGzip = (): boolean => peer.head?.headers.get("content-encoding") === "gzip";
      const unpacker = new Unpacker(isGzip, (bytes) => {
        if (peer.head?.status === 200) content.push(bytes);
        else refusal += bytes.toString();
      });
      const ended = (): void => unpacker.end(() => peer.ended());
      const reader = httpReader({
        head(head) {
          peer.head = head;
          if (head.status === 200) resolve();
        },
        body: (bytes) => unpacker.push(bytes),
        end() {
          if (refusal !== "") refusedBy(peer, refusal);
          resolve();
          ended();
          link.destroy();
        },
      });
      const link: Link = await Link.open(portOf(target), reader, ended, target.ca);
      peer.uses(link);
      link.send(requestText(target, requestFor(wishes), wishes));
      await peer.opening(Promise.race([begun, peer.untilEnded()]));
      // What the answer begins with is on its way: it was there before the status was.
      if (peer.refused === undefined) {
        const wanted = asked.subscribe?.length ?? 0;
        const isBegun = (): boolean => answeredOf(peer) >= wanted || (!can.frames && isQuiet(wishes));
        await peer.opening(peer.until("the beginning", () => peer.isEnded || isBegun()));
      }
      return peer;
    },
    say: sayBySend,
  };
}

function answeredOf(peer: Peer): number {
  return peer.frames.filter(({ type }) => type === "subscribed" || type === "unsubscribed" || type === "error").length;
}

/** By a cursor in the query; then what is recovered is not said. */
function isQuiet({ subscribe = [] }: Wishes): boolean {
  return subscribe.some(({ since }) => typeof since === "object");
}

/** Events to frames; a comment is a heartbeat. */
function eventReader(peer: Peer): Reader {
  return delimitedReader("\n\n", (block) => {
    const data: string[] = [];
    for (const line of block.split("\n")) {
      if (line.startsWith("data: ")) data.push(line.slice(6));
      else if (line.startsWith("id: ")) peer.cursor = line.slice(4);
      else if (line.startsWith(":")) peer.beats++;
    }
    if (data.length > 0) peer.frame(framed(data.join("\n")));
    peer.look();
  });
}

function lineReader(peer: Peer): Reader {
  return delimitedReader("\n", (line) => {
    if (line === "") peer.beats++;
    else peer.frame(framed(line));
    peer.look();
  });
}

/** `isKnown`: the answers are known already, and not wanted again. */
function commandLines(wishes: Wishes, isKnown = false): string {
  return commandsOf(wishes)
    .map((command) => JSON.stringify(isKnown ? { ...command, id: undefined } : command))
    .join("\n");
}

const BY_QUERY = { ...EVERYTHING, frames: false } as const;
const GZIP = { "accept-encoding": "gzip" } as const;

export const SSE_BY_QUERY = oneWay(
  "sse by query",
  (wishes) => ({ method: "GET", path: "/sse", query: queryOf(wishes) }),
  eventReader,
  BY_QUERY,
);

export const SSE = oneWay(
  "sse by commands",
  (wishes) => ({ method: "GET", path: "/sse", query: new URLSearchParams({ commands: commandLines(wishes) }) }),
  eventReader,
);

export const SSE_GZIPPED = oneWay(
  "sse gzipped",
  (wishes) => ({ method: "GET", path: "/sse", query: new URLSearchParams({ commands: commandLines(wishes) }) }),
  eventReader,
  EVERYTHING,
  GZIP,
);

export const STREAM_BY_QUERY = oneWay(
  "stream by GET",
  (wishes) => ({ method: "GET", path: "/stream", query: queryOf(wishes) }),
  lineReader,
  BY_QUERY,
);

export const STREAM = oneWay(
  "stream by POST",
  (wishes) => ({ method: "POST", path: "/stream", query: new URLSearchParams(), body: commandLines(wishes) }),
  lineReader,
);

export const STREAM_GZIPPED = oneWay(
  "stream gzipped",
  (wishes) => ({ method: "POST", path: "/stream", query: new URLSearchParams(), body: commandLines(wishes) }),
  lineReader,
  EVERYTHING,
  GZIP,
);

// Long polls: one request after another on one connection, each with the cursor of the answer before.

function polling(
  name: string,
  requestFor: (wishes: Wishes, isKnown: boolean) => Request,
  can: Transport["can"],
): Transport {
  return {
    name,
    can,
    async open(target, wishes) {
      const peer = new Peer(wishes);
      const { promise: begun, resolve } = Promise.withResolvers<void>();
      let body = "";
      const ask = (wait: string): void => {
        // From the second on everything is known but the cursor.
        const { session, cursor } = peer;
        const asked = { ...wishes, ...(session !== undefined && { session }) };
        const again = wishes.subscribe?.map((wish) => ({ ...wish, since: undefined })) ?? [];
        const request = requestFor(cursor === undefined ? asked : { ...asked, subscribe: again }, cursor !== undefined);
        if (cursor !== undefined) request.query.set("since", cursor);
        request.query.set("wait", wait);
        link.send(requestText(target, request, wishes));
      };
      const reader = httpReader({
        head: (head) => (peer.head = head),
        body: (bytes) => (body += bytes.toString()),
        end() {
          const answer = body;
          body = "";
          if (peer.head?.status === 200) {
            const { cursor, frames } = JSON.parse(answer) as { cursor: string; frames: ServerFrame[] };
            peer.cursor = cursor;
            peer.beats++;
            for (const frame of frames) peer.frame(frame);
          } else refusedBy(peer, answer);
          if (peer.goodbye !== undefined || peer.refused !== undefined) {
            peer.ended();
            link.destroy();
          } else if (!peer.isEnded) ask("20");
          resolve();
        },
      });
      const link: Link = await Link.open(portOf(target), reader, () => peer.ended(), target.ca);
      peer.uses(link);
      // The first is answered at once: then everything is subscribed.
      ask("0");
      await peer.opening(Promise.race([begun, peer.untilEnded()]));
      return peer;
    },
    say: sayBySend,
  };
}

// What waits for a poll that is not read is one answer, which is bounded; and whoever polls hears the answer, and nothing before it.
const BY_POLL = { frames: true, stall: false, heartbeat: false } as const;

export const POLL_BY_QUERY = polling(
  "poll by GET",
  (wishes) => ({ method: "GET", path: "/poll", query: queryOf(wishes) }),
  { ...BY_POLL, frames: false },
);

export const POLL = polling(
  "poll by POST",
  (wishes, isKnown) => ({
    method: "POST",
    path: "/poll",
    query: new URLSearchParams(),
    body: commandLines(wishes, isKnown),
  }),
  BY_POLL,
);

/** One of each kind, with everything it can. */
export const KINDS: readonly Transport[] = [WEBSOCKET, SSE, STREAM, POLL, TCP];

export const TRANSPORTS: readonly Transport[] = [
  ...KINDS,
  SSE_BY_QUERY,
  SSE_GZIPPED,
  STREAM_BY_QUERY,
  STREAM_GZIPPED,
  POLL_BY_QUERY,
];
