/**
 * Follows channels over one WebSocket at a time, in plain frames of the native protocol, and comes back from its positions. A small
 * client of its own instead of the SDK: this command is what one reaches for when the SDK is under suspicion.
 */
import {
  type Command,
  DISCONNECTS,
  ERRORS,
  personalUser,
  type Position,
  remedyOf,
  type ServerFrame,
  type Since,
} from "@longwire/protocol";
import type { Clock, Timer } from "../base/clock.ts";

const BACKOFF_FIRST_MS = 1000;
const BACKOFF_MAX_MS = 30_000;
/** Until the server has said how often it pings. */
const SILENCE_FIRST_MS = 30_000;
/** Longer timers fire at once (32 bits). */
const SILENCE_MAX_MS = 2 ** 31 - 1;

export interface FollowerOptions {
  readonly url: URL;
  readonly channels: readonly string[];
  readonly token: string | undefined;
  readonly since: Since | undefined;
  readonly clock: Clock;
  /** A message, as it came and parsed. */
  readonly message: (text: string, frame: Readonly<Record<string, unknown>>) => void;
  /** Anything else a person wants to know. */
  readonly notice: (line: string) => void;
}

/** How a connection ended. `final`: the same again gets the same answer. */
interface Ending {
  readonly reason: string;
  readonly final: boolean;
  readonly afterMs: number;
}

export class Follower {
  private readonly positions = new Map<string, Position>();
  /** Channels that may still be subscribed. */
  private readonly wanted: Set<string>;
  /** Those that the server subscribes by itself: it is told the position in `connect`. */
  private readonly made: Set<string>;
  /** Those of which it was said that `--since` does not count. */
  private readonly told = new Set<string>();
  private failures = 0;

  constructor(private readonly options: FollowerOptions) {
    this.wanted = new Set(options.channels);
    this.made = new Set(options.channels.filter((channel) => personalUser(channel) !== undefined));
  }

  /** Resolves when there is nothing left to follow; why has been said. */
  async run(): Promise<void> {
    for (;;) {
      const ending = await this.follow();
      if (ending.final || this.wanted.size === 0) {
        this.options.notice(ending.reason);
        return;
      }
      const backoffMs = Math.min(BACKOFF_FIRST_MS * 2 ** this.failures, BACKOFF_MAX_MS);
      this.failures++;
      const waitMs = Math.max(backoffMs, ending.afterMs);
      this.options.notice(`${ending.reason}; coming back in ${Math.ceil(waitMs / 1000)} s`);
      // Not the clock's timer, which would let the process end meanwhile.
      await Bun.sleep(waitMs);
    }
  }

  private async follow(): Promise<Ending> {
    const socket = new WebSocket(this.options.url);
    return new Promise((resolve) => {
      const connection = new FollowedConnection(socket, this.options, {
        wanted: this.wanted,
        made: this.made,
        told: this.told,
        positions: this.positions,
        subscribed: () => {
          this.failures = 0;
        },
      });
      socket.addEventListener("open", () => connection.greet());
      socket.addEventListener("message", (event: MessageEvent<unknown>) => connection.receive(String(event.data)));
      socket.addEventListener("close", (event) => resolve(connection.closed(event.code, event.reason)));
    });
  }
}

interface Progress {
  readonly wanted: Set<string>;
  readonly made: Set<string>;
  readonly told: Set<string>;
  readonly positions: Map<string, Position>;
  readonly subscribed: () => void;
}

/** One connection of a follower. */
class FollowedConnection {
  private readonly asked = new Map<number, string>();
  private ending: Ending | undefined;
  private silence: Timer;
  private silenceMs = SILENCE_FIRST_MS;
  private greeted = false;

  constructor(
    private readonly socket: WebSocket,
    private readonly options: FollowerOptions,
    private readonly progress: Progress,
  ) {
    this.silence = this.watch();
  }

  greet(): void {
    const { token } = this.options;
    const made: [string, Position][] = [];
    for (const channel of this.progress.made) {
      const from = this.startOf(channel);
      if (typeof from === "object") made.push([channel, from]);
    }
    // `ping`: the runtime answers WebSocket's own pings without showing them, so silence could not be told from a dead server.
    this.send({
      type: "connect",
      id: 1,
      ping: true,
      ...(token === undefined ? undefined : { token }),
      ...(made.length === 0 ? undefined : { since: Object.fromEntries(made) }),
    });
    let id = 1;
    for (const channel of this.progress.wanted) {
      id++;
      this.asked.set(id, channel);
      const from = this.startOf(channel);
      this.send({ type: "subscribe", id, channel, ...(from === undefined ? undefined : { since: from }) });
    }
  }

  private startOf(channel: string): Since | undefined {
    return this.progress.positions.get(channel) ?? this.options.since;
  }

  receive(text: string): void {
    this.silence.cancel();
    this.silence = this.watch();
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      this.end({ reason: "the server does not speak the native protocol; is --url right?", final: true, afterMs: 0 });
      return;
    }
    this.take(frame, text);
  }

  closed(code: number, reason: string): Ending {
    this.silence.cancel();
    if (this.ending !== undefined) return this.ending;
    const known = code >= 4000 && code < 5000;
    if (known) return goodbye(code, reason, 0);
    return {
      reason: this.greeted ? `the connection was lost (${code})` : `cannot connect to ${this.options.url.origin}`,
      final: false,
      afterMs: 0,
    };
  }

  private take(frame: ServerFrame, text: string): void {
    const { wanted, made, positions, subscribed } = this.progress;
    switch (frame.type) {
      case "connected":
        this.greeted = true;
        // 0: none is promised.
        this.silenceMs = Math.min((frame.ping || Infinity) * 2, SILENCE_MAX_MS);
        return;
      case "ping":
        this.send({ type: "pong" });
        return;
      case "subscribed":
        // With a token the server subscribes what nobody asked for here.
        if (!wanted.has(frame.channel)) return;
        if (frame.id === undefined) made.add(frame.channel);
        subscribed();
        if (!frame.recovered) {
          this.options.notice(
            `${frame.channel}: what was missed can no longer be had; going on after #${frame.offset}`,
          );
        }
        positions.set(frame.channel, { epoch: frame.epoch, offset: frame.offset });
        return;
      case "message":
        this.message(frame, text);
        return;
      case "unsubscribed":
        if (wanted.has(frame.channel))
          this.refused(frame.channel, frame.code ?? 0, frame.reason ?? "the server ended the subscription");
        return;
      case "error":
        this.failed(frame.id, frame.code, frame.message);
        return;
      case "disconnect":
        this.ending = goodbye(frame.code, frame.reason, frame.after ?? 0);
        return;
      // Answers to what is never asked here, and events that are not asked for.
      case "acked":
      case "history":
      case "join":
      case "leave":
      case "pong":
      case "presence":
      case "published":
      case "refreshed":
      case "result":
        return;
    }
  }

  private message(frame: Extract<ServerFrame, { type: "message" }>, text: string): void {
    const { channel, offset } = frame;
    if (channel !== undefined && !this.progress.wanted.has(channel)) return;
    const position = channel === undefined ? undefined : this.progress.positions.get(channel);
    if (channel !== undefined && offset !== undefined && position !== undefined) {
      if (offset <= position.offset) return;
      this.progress.positions.set(channel, { epoch: position.epoch, offset });
    }
    this.options.message(text, { ...frame });
  }

  private failed(id: number | undefined, code: number, message: string): void {
    const channel = id === undefined ? undefined : this.asked.get(id);
    if (channel !== undefined && code === ERRORS.alreadySubscribed.code) this.madeByServer(channel);
    else if (channel !== undefined) this.refused(channel, code, message);
    else if (id === 1) this.end({ reason: message, final: remedyOf(code) !== "retry", afterMs: 0 });
    else this.options.notice(message);
  }

  /** Its own `subscribed` says where it stands, if it has not yet. */
  private madeByServer(channel: string): void {
    const { made, told } = this.progress;
    const { since, notice } = this.options;
    made.add(channel);
    const begins = since === undefined || (typeof since === "object" && personalUser(channel) !== undefined);
    if (begins || told.has(channel)) return;
    told.add(channel);
    notice(`${channel}: the server subscribes it by itself and decides where it begins; --since does not count`);
  }

  /** A channel that may be had later is asked for again on a new connection, with backoff; another one is given up. */
  private refused(channel: string, code: number, reason: string): void {
    const retry = remedyOf(code) === "retry";
    if (retry) {
      this.end({ reason: `${channel}: ${reason}`, final: false, afterMs: 0 });
      return;
    }
    this.options.notice(`${channel}: ${reason}`);
    this.progress.wanted.delete(channel);
    if (this.progress.wanted.size === 0) this.end({ reason: "no channel is left", final: true, afterMs: 0 });
  }

  private send(command: Command): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(command));
  }

  private end(ending: Ending): void {
    this.ending ??= ending;
    this.socket.close();
  }

  private watch(): Timer {
    return this.options.clock.after(this.silenceMs, () => {
      this.ending ??= { reason: "nothing was heard from the server", final: false, afterMs: 0 };
      // A dead peer answers no closing handshake either; the runtime's `terminate` is not in the standard's type.
      (this.socket as WebSocket & { terminate(): void }).terminate();
    });
  }
}

function goodbye(code: number, reason: string, afterMs: number): Ending {
  const row = Object.values(DISCONNECTS).find((candidate) => candidate.code === code);
  const words = reason === "" ? (row?.text ?? `closed with ${code}`) : reason;
  return { reason: words, final: remedyOf(code) !== "retry", afterMs };
}
