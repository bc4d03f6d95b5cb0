/**
 * Send: `POST /send`, commands of clients whose transport leads out only, one per line (SPEC.md, group SD). They are carried out by a
 * session of their own, which lasts as long as they do and speaks for the one that the query names.
 */
import { type Command, CommandFault } from "@longwire/protocol";
import type { Server } from "bun";
import { Disconnect } from "../base/failures.ts";
import { decodeText, receiveBody } from "../base/request-body.ts";
import type { Connection, Frame, Hearing } from "../ports/connection.ts";
import type { Gateway, Handshake } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import type { CredentialReader } from "./credentials.ts";
import { readHandshake } from "./handshake.ts";
import { clientAddress, type ForwardedReader } from "./client-address.ts";
import { answering, linesOf, refusalAnswer } from "./opening.ts";
import { type RequestViewer, withView } from "./request-view.ts";

export interface SendParts {
  readonly gateway: Gateway;
  readonly bodyBytesMax: number;
  /** Of one line. */
  readonly messageBytesMax: number;
  readonly draining: () => boolean;
  readonly credentials: CredentialReader;
  readonly viewer: RequestViewer | undefined;
  /** Where proxies are trusted. */
  readonly forwarded: ForwardedReader | undefined;
  readonly protocol: Protocol;
}

export type SendTransport = (request: Request, server: Server<unknown>, query: string) => Promise<Response>;

const HEADERS = {
  "content-type": "application/x-ndjson; charset=utf-8",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

export function sendTransport(parts: SendParts): SendTransport {
  const { gateway, bodyBytesMax, messageBytesMax, draining } = parts;
  const protocol = sendProtocol(parts.protocol, messageBytesMax);
  return (request, server, query) =>
    answering(async () => {
      const handshake = parts.credentials(request, readSpeaker(query));
      const body = decodeText(await receiveBody(request, bodyBytesMax));
      if (draining()) throw new Disconnect("shutdown");
      const connection = new SendConnection(clientAddress(parts.forwarded, request, server));
      const session = gateway.open(connection, protocol, withView(handshake, parts.viewer, request, "send", query));
      for (const line of linesOf(body)) {
        await connection.flowing;
        // There may be millions more, each of them for nothing.
        if (connection.isOver) break;
        gateway.receive(session, line);
      }
      await gateway.settled(session);
      const response = connection.response();
      gateway.closed(session, 1000, "answered");
      return response;
    });
}

/** Whoever the query names, for a few commands. */
function readSpeaker(query: string): Handshake {
  const { token, client, session, fault } = readHandshake(query, Infinity);
  if (fault !== undefined) throw new Disconnect("badRequest", fault);
  return { token, client, session, channels: [], fleeting: true };
}

/** Gathers the replies. */
class SendConnection implements Connection {
  /** What to wait for before the next line. */
  flowing: Promise<void> | undefined = undefined;
  #flow: (() => void) | undefined = undefined;
  readonly #replies: Frame[] = [];
  #bytes = 0;
  #goodbye: Disconnect | undefined = undefined;

  constructor(readonly address: string) {}

  get hearing(): Hearing {
    return "nothing";
  }

  get fanout(): null {
    return null;
  }

  /** It was sent away: nothing more is carried out. */
  get isOver(): boolean {
    return this.#goodbye !== undefined;
  }

  send(frames: readonly Frame[]): void {
    if (this.#goodbye !== undefined) return;
    for (const frame of frames) {
      this.#replies.push(frame);
      this.#bytes += Buffer.byteLength(frame) + 1;
    }
  }

  buffered(): number {
    return this.#goodbye === undefined ? this.#bytes : 0;
  }

  join(): void {}

  leave(): void {}

  pause(): void {
    if (this.#goodbye !== undefined || this.#flow !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.flowing = promise;
    this.#flow = resolve;
  }

  resume(): void {
    this.#flow?.();
    this.#flow = undefined;
    this.flowing = undefined;
  }

  ping(): void {}

  close(goodbye: Disconnect): void {
    this.#goodbye = goodbye;
    this.resume();
  }

  cut(): void {
    this.resume();
  }

  response(): Response {
    const replies = this.#replies;
    // The goodbye is the last of them. Alone it refuses the request.
    if (this.#goodbye !== undefined && replies.length <= 1) return refusalAnswer(this.#goodbye);
    if (replies.length === 0) return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
    return new Response(`${replies.join("\n")}\n`, { headers: HEADERS });
  }
}

const ELSEWHERE: Partial<Record<Command["type"], string>> = {
  connect: "`token`, `session` and `client` go into the query of this request",
  subscribe: "the next request to /poll, /stream or /sse names all channels, and goes on from its cursor or positions",
  unsubscribe: "the next request to /poll, /stream or /sse names the channels that are left",
};

/** Refuses what cannot be done here, and lines that are too long; the others are carried out. */
function sendProtocol(protocol: Protocol, messageBytesMax: number): Protocol {
  return {
    ...protocol,
    decode(data) {
      const isTooLong = Buffer.byteLength(data) > messageBytesMax;
      const tooLong = (id: number | undefined): CommandFault =>
        new CommandFault("tooLarge", `a line may have at most ${messageBytesMax} bytes (messageBytesMax)`, id);
      let command: Command;
      try {
        command = protocol.decode(data) as Command;
      } catch (error) {
        if (isTooLong && error instanceof CommandFault) throw tooLong(error.id);
        throw error;
      }
      if (isTooLong) throw tooLong(command.id);
      const advice = ELSEWHERE[command.type];
      if (advice !== undefined) throw new CommandFault("notHere", advice, command.id);
      return command;
    },
  };
}
