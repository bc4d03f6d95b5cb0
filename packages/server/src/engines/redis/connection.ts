/**
 * One connection to one Redis server, in RESP3: commands and what is published share it, so a message and the answer to the publish
 * that made it arrive in the order in which Redis wrote them.
 *
 * Why not the library's own client, whose decoder this uses: it does not tell a command that was never written from one whose answer was
 * lost; its Sentinel and Cluster clients send a command again after a lost connection, which would store a publication twice, and in
 * another order; and a `sunsubscribe` that the server sends on its own (a slot has moved) can end another command that is on its way.
 *
 * What one turn of the event loop sends is one write.
 */
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Decoder } from "@redis/client/dist/lib/RESP/decoder.js";
import { Turn } from "../../base/turn.ts";
import { AnswerLost, notSent, RedisRefusal } from "./failures.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Target extends Address {
  readonly tls: boolean;
  /** Authorities in PEM text instead of the system's. */
  readonly ca: string | undefined;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
}

export interface ConnectionEvents {
  /** A published message. */
  message(channel: string, message: Buffer): void;
  /** The server has ended a subscription by itself. */
  unfollowed(channel: string): void;
  /** Called once, unless `end` was called. */
  ended(reason: string): void;
}

/** Of a connection that only asks. */
export const NO_EVENTS: ConnectionEvents = {
  message: () => undefined,
  unfollowed: () => undefined,
  ended: () => undefined,
};

/** What a connection may have on its way: more waits for nothing but trouble. */
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;

/** A command and its entry here, beside its text. */
const COMMAND_BYTES = 128;

/** Ticks without a byte from the server while something waits for an answer. */
const SILENT_TICKS_MAX = 5;

/** Ticks without traffic after which the server is asked whether it is there. */
const IDLE_TICKS = 3;

interface Waiting {
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
  /** Of a (un)subscription, which is answered by a push. */
  readonly following: Following | undefined;
  readonly bytes: number;
}

type FollowCommand = "SUBSCRIBE" | "SSUBSCRIBE" | "UNSUBSCRIBE" | "SUNSUBSCRIBE";

interface Following {
  readonly command: FollowCommand;
  readonly channel: string;
}

/**
 * Whether a `sunsubscribe` is what we asked for or the server's own (a slot has moved, and what we asked for will be refused) cannot be told from
 * it. So something is asked behind it, whose answer is that to both: to take one for the other would give each later answer to the wrong call.
 */
const AFTER_SUNSUBSCRIBE = encode(["PING"]);

export type Identity = readonly [number: string, address: string];

/** Ends a connection, if it is still the one that was meant: numbers begin anew when Redis is started. */
export function killCommand([number, address]: Identity): string[] {
  return ["CLIENT", "KILL", "ID", number, "ADDR", address];
}

function identityOf(info: unknown): Identity | undefined {
  const [, number, address] = /\bid=(\d+) addr=(\S+)/.exec(String(info)) ?? [];
  return number === undefined || address === undefined ? undefined : [number, address];
}

type Push = readonly [Buffer, Buffer | null, ...unknown[]];

export class Connection {
  /** How Redis knows it, for whoever has to end it from elsewhere: its number and its address. undefined where Redis does not say. */
  identity: Identity | undefined;
  readonly #decoder: Decoder;
  /** In the order in which they were or will be written. */
  #waiting: Waiting[] = [];
  #head = 0;
  #unwritten: string[] = [];
  #queuedBytes = 0;
  #silentTicks = 0;
  #ended = false;
  readonly #turn = new Turn();

  private constructor(
    readonly address: Address,
    private readonly socket: Socket,
    private readonly events: ConnectionEvents,
  ) {
    this.#decoder = new Decoder({
      onReply: (reply: unknown) => this.#answered(({ resolve }) => resolve(reply)),
      onErrorReply: (error) => this.#refused(error.message),
      onPush: (push) => this.#pushed(push as unknown as Push),
      getTypeMapping: () => ({}),
    });
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#end(error.message));
    socket.on("close", () => this.#end("it was closed"));
  }

  /** Connects and says who we are. Rejects with what the socket or Redis said. The caller sets the time limit by calling `abandon`. */
  static open(target: Target, events: ConnectionEvents): { opened: Promise<Connection>; abandon: () => void } {
    const { host, port, tls, ca } = target;
    const socket = tls
      ? connectTls({
          host,
          port,
          ...(ca === undefined ? {} : { ca }),
          ...(isIP(host) === 0 ? { servername: host } : {}),
        })
      : connectPlain({ host, port });
    socket.setNoDelay(true);
    const opened = new Promise<Connection>((resolve, reject) => {
      const fail = (error?: Error): void => reject(error ?? new Error("it was closed"));
      socket.once("error", fail);
      socket.once("close", () => fail());
      socket.once(tls ? "secureConnect" : "connect", () => {
        const connection = new Connection(target, socket, events);
        connection.#greet(target).then(
          () => resolve(connection),
          (error: Error) => {
            connection.end();
            reject(error);
          },
        );
      });
    });
    return { opened, abandon: () => socket.destroy() };
  }

  async #greet({ user, password, database }: Target): Promise<void> {
    const credentials = password === undefined ? [] : ["AUTH", user ?? "default", password];
    await this.send(["HELLO", "3", ...credentials, "SETNAME", "longwire"]);
    if (database !== 0) await this.send(["SELECT", String(database)]);
    this.identity = identityOf(await this.send(["CLIENT", "INFO"]).catch(() => ""));
  }

  /** Rejects with `RedisRefusal` (what Redis said), `AnswerLost`, or `ReplyError(unavailable)` if it was surely not carried out. */
  send(command: readonly string[]): Promise<unknown> {
    return this.#enqueue(command);
  }

  /** Resolves when Redis has confirmed it. */
  follow(command: FollowCommand, channel: string): Promise<unknown> {
    return this.#enqueue([command, channel], { command, channel });
  }

  #enqueue(command: readonly string[], following?: Following): Promise<unknown> {
    if (this.#ended) return Promise.reject(notSent("the connection is gone"));
    const text = following?.command === "SUNSUBSCRIBE" ? encode(command) + AFTER_SUNSUBSCRIBE : encode(command);
    const bytes = text.length + COMMAND_BYTES;
    // Subscriptions are bounded by those who want them, and all come at once when a connection is back.
    if (following === undefined && this.#queuedBytes > 0 && this.#queuedBytes + bytes > QUEUED_BYTES_MAX)
      return Promise.reject(notSent("too much is on its way"));
    this.#queuedBytes += bytes;
    if (this.#unwritten.length === 0) this.#turn.atEnd(() => this.#flush());
    this.#unwritten.push(text);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject, following, bytes }));
  }

  #flush(): void {
    if (this.#ended || this.#unwritten.length === 0) return;
    const text = this.#unwritten.join("");
    this.#unwritten = [];
    this.socket.write(text);
  }

  /** To be called once a second. Ticks and not times: after this process stood still, the server gets its time to answer. */
  tick(): void {
    this.#silentTicks++;
    const isWaiting = this.#waiting.length > this.#head;
    if (isWaiting && this.#silentTicks > SILENT_TICKS_MAX) this.#end(`no answer for ${SILENT_TICKS_MAX} s`);
    else if (!isWaiting && this.#silentTicks > IDLE_TICKS) {
      this.#silentTicks = 0;
      this.send(["PING"]).catch(() => undefined);
    }
  }

  #receive(chunk: Buffer): void {
    if (this.#ended) return;
    this.#silentTicks = 0;
    try {
      this.#decoder.write(chunk);
    } catch (error) {
      this.#end(`it does not speak RESP3: ${String(error)}`);
    }
  }

  #answered(settle: (waiting: Waiting) => void): void {
    const waiting = this.#waiting[this.#head];
    if (waiting === undefined) return;
    this.#head++;
    this.#queuedBytes -= waiting.bytes;
    if (this.#head === this.#waiting.length || this.#head > 1024) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    settle(waiting);
  }

  #refused(message: string): void {
    // Its slot has moved: the server has ended the subscription by itself, or will.
    if (this.#waiting[this.#head]?.following?.command === "SUNSUBSCRIBE") return;
    this.#answered(({ reject }) => reject(new RedisRefusal(message)));
  }

  #pushed([kind, name, payload]: Push): void {
    const word = kind.toString();
    const channel = name?.toString() ?? "";
    if (word === "message" || word === "smessage") {
      this.events.message(channel, payload as Buffer);
      return;
    }
    if (!word.endsWith("subscribe")) return;
    // Commands are answered in order, so a confirmation of ours is that of the first who waits.
    const { following } = this.#waiting[this.#head] ?? {};
    const isOurs = following?.channel === channel && following.command.toLowerCase() === word;
    if (isOurs && word !== "sunsubscribe") this.#answered(({ resolve }) => resolve(undefined));
    else if (!isOurs && word === "sunsubscribe") this.events.unfollowed(channel);
  }

  /** Lets go of it, without a word to `ended`. */
  end(): void {
    this.#finish("it was closed here");
  }

  /** As if it had broken. */
  cut(reason: string): void {
    this.#end(reason);
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#finish(reason);
    this.events.ended(reason);
  }

  #finish(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.socket.destroy();
    const waiting = this.#waiting.slice(this.#head);
    const written = waiting.length - this.#unwritten.length;
    this.#waiting = [];
    this.#head = 0;
    this.#unwritten = [];
    for (const [place, { reject }] of waiting.entries())
      reject(place < written ? new AnswerLost(reason) : notSent(reason));
  }
}

function encode(command: readonly string[]): string {
  let text = `*${command.length}\r\n`;
  for (const word of command) text += `$${Buffer.byteLength(word)}\r\n${word}\r\n`;
  return text;
}
