/** What a worker and its supervisor say to each other, field by field. What is said often has fields, the rest carries JSON. */
import type { Json, Member, Position } from "@longwire/protocol";
import type { BrokerChannel, Draft, HistoryPage, HistoryQuery, Publication, Published } from "../../ports/broker.ts";
import type { Engine } from "../../ports/engine.ts";
import type { PresenceCount, PresenceList } from "../../ports/presence.ts";
import { FrameFault, type FrameReader, type FrameWriter } from "./frames.ts";

/** Of what is written here: a worker of another build does not understand its supervisor, and is refused. */
export const VERSION = 1;

/** The first word of a worker: whoever else knocks is not one. */
export const GREETING = "longwire worker";

/** Nothing is refused for its size here: what may be published has been decided before. */
export const FRAME_BYTES_MAX = 0x7fff_ffff;

export const FROM_WORKER = {
  hello: 1,
  open: 2,
  publish: 3,
  subscribe: 4,
  unsubscribe: 5,
  history: 6,
  call: 7,
  ask: 8,
  answer: 9,
  pong: 10,
  bye: 11,
} as const;

export const FROM_SUPERVISOR = {
  welcome: 32,
  refused: 33,
  /** The answer to a request; what stands in it, its asker knows. */
  reply: 34,
  failed: 35,
  publication: 36,
  event: 37,
  top: 38,
  fenced: 39,
  unsubscribed: 40,
  asked: 41,
  joined: 42,
  left: 43,
  health: 44,
  ping: 45,
} as const;

export type Health = ReturnType<Engine["health"]>;

/** `mark`: the peer that the worker is. */
export interface WorkerIdentity {
  readonly mark: string;
  readonly pid: number;
}

export interface Hello extends WorkerIdentity {
  readonly greeting: string;
  readonly version: number;
}

export interface Welcome {
  readonly peers: readonly string[];
  readonly health: Health;
}

/** Calls whose arguments and results travel as JSON. An argument or result that is not there is null on the way. */
export interface Methods {
  clear(channel: string): Promise<void>;
  channels(query: { after?: string; prefix?: string; limit: number }): Promise<BrokerChannel[]>;
  put(channel: string, member: Member): Promise<void>;
  drop(channel: string, session: string): Promise<void>;
  list(channel: string, limit: number): Promise<PresenceList>;
  count(channel: string): Promise<PresenceCount>;
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string, ttlMs: number | undefined): Promise<void>;
  add(key: string, amount: number, ttlMs: number | undefined): Promise<number>;
  touch(key: string, ttlMs: number): Promise<boolean>;
  remove(key: string): Promise<boolean>;
  position(channel: string, holder: string): Promise<Position | undefined>;
  acknowledge(channel: string, holder: string, position: Position): Promise<Position>;
}

export function writeDraft(writer: FrameWriter, draft: Draft): FrameWriter {
  const { data, encoding, name, user, session, exclude, key, keep } = draft;
  return writer
    .flag(keep)
    .flag(encoding !== undefined)
    .text(data)
    .text(name)
    .text(user)
    .text(session)
    .text(exclude)
    .text(key);
}

export function readDraft(reader: FrameReader): Draft {
  return {
    keep: reader.flag(),
    encoding: reader.flag() ? "base64" : undefined,
    data: reader.text(),
    name: reader.optionalText(),
    user: reader.optionalText(),
    session: reader.optionalText(),
    exclude: reader.optionalText(),
    key: reader.optionalText(),
  };
}

export function writePublication(writer: FrameWriter, publication: Publication): FrameWriter {
  const { offset, time, data, encoding, name, user, session, exclude } = publication;
  return writer
    .number(offset)
    .number(time)
    .flag(encoding !== undefined)
    .text(data)
    .text(name)
    .text(user)
    .text(session)
    .text(exclude);
}

export function readPublication(reader: FrameReader): Publication {
  return {
    offset: reader.number(),
    time: reader.number(),
    encoding: reader.flag() ? "base64" : undefined,
    data: reader.text(),
    name: reader.optionalText(),
    user: reader.optionalText(),
    session: reader.optionalText(),
    exclude: reader.optionalText(),
  };
}

export function writePublished(writer: FrameWriter, published: Published, followers: number): FrameWriter {
  return writer.text(published.epoch).number(published.offset).flag(published.repeated).count(followers);
}

export function readPublished(reader: FrameReader): Published {
  return { epoch: reader.text(), offset: reader.number(), repeated: reader.flag(), followers: reader.count() };
}

export function writePosition(writer: FrameWriter, { epoch, offset }: Position): FrameWriter {
  return writer.text(epoch).number(offset);
}

export function readPosition(reader: FrameReader): Position {
  return { epoch: reader.text(), offset: reader.number() };
}

export function writeQuery(writer: FrameWriter, query: HistoryQuery): FrameWriter {
  return writer.text(JSON.stringify(query));
}

export function readQuery(reader: FrameReader): HistoryQuery {
  return readJson(reader) as HistoryQuery;
}

export function writePage(writer: FrameWriter, page: HistoryPage): FrameWriter {
  writePosition(writer, page.top).flag(page.reached).flag(page.more).count(page.publications.length);
  for (const publication of page.publications) writePublication(writer, publication);
  return writer;
}

export function readPage(reader: FrameReader): HistoryPage {
  const top = readPosition(reader);
  const reached = reader.flag();
  const more = reader.flag();
  const publications: Publication[] = [];
  for (let count = reader.count(); count > 0; count--) publications.push(readPublication(reader));
  return { top, reached, more, publications };
}

/** Whoever reads it takes the other side at its word, which is the same program. */
export function readJson(reader: FrameReader): unknown {
  return parse(reader.text());
}

export function jsonOf(text: string): Json {
  return parse(text) as Json;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FrameFault("what should be JSON is none");
  }
}
