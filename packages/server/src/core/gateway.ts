/**
 * Gateway: what transports call. It decodes, finds the action and answers; the one place where failures of clients are caught.
 *
 * Commands of a session take effect in the order in which they came. Those that must be finished first (`connect`,
 * `subscribe`, …) hold the following ones back in `pending`; a publish takes its place in the channel in the call itself, so
 * publishes run side by side and share a commit.
 */
import { type Command, CommandFault, type Since } from "@longwire/protocol";
import { Disconnect, ReplyError } from "../base/failures.ts";
import { newSessionId } from "../base/ids.ts";
import type { Connection } from "../ports/connection.ts";
import type { Gateway, Handshake, SessionHandle } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { connect, joinByServer } from "./actions/connect.ts";
import { publishFromClient } from "./actions/publish.ts";
import { history, presence } from "./actions/read.ts";
import { ack, refresh } from "./actions/session.ts";
import { subscribe, unsubscribe } from "./actions/subscribe.ts";
import { channelOptions } from "./channel-options.ts";
import type { Core } from "./deps.ts";
import { refusal } from "./rights.ts";
import { Session } from "./model.ts";

/** With more than this waiting for a command to finish, the client is not read any further until it has. */
const PENDING_BYTES_MAX = 256 * 1024;

/** What a waiting message costs beside its text: an empty one must not be for nothing. */
const PENDING_OVERHEAD_BYTES = 32;

/** Handshakes that can say something in place of the first frame. */
function speaks(handshake: Handshake): boolean {
  return handshake.token !== undefined || handshake.session !== undefined || handshake.channels.length > 0;
}

export class CoreGateway implements Gateway {
  /** Commands that are being carried out. */
  running = 0;

  constructor(
    private readonly core: Core,
    private readonly finish: (session: Session, code: number, reason: string) => void,
  ) {}

  open(connection: Connection, protocol: Protocol, handshake: Handshake): SessionHandle {
    const { clock, settings } = this.core;
    const { pingIntervalMs } = settings;
    const session = new Session(newSessionId(), connection, protocol, clock.now(), clock.uptime(), pingIntervalMs);
    this.core.sessions.arrive(session);
    this.core.watch(session);
    if (handshake.fault !== undefined) this.core.goodbye(session, new Disconnect("badRequest", handshake.fault));
    else if (speaks(handshake)) this.#hold(session, undefined, connectByHandshake(this.core, session, handshake));
    return session;
  }

  receive(handle: SessionHandle, data: string): void {
    const session = handle as Session;
    session.heardAt = this.core.clock.uptime();
    if (session.state === "closing" || session.state === "closed") return;
    if (session.pending !== null) {
      session.pending.push(data);
      session.pendingBytes += data.length + PENDING_OVERHEAD_BYTES;
      if (session.pendingBytes > PENDING_BYTES_MAX) session.connection.pause();
      return;
    }
    this.#handle(session, data);
  }

  drained(handle: SessionHandle): void {
    const session = handle as Session;
    if (session.connection.buffered() === 0) this.core.outbox.forget(session);
    session.wake();
  }

  heard(handle: SessionHandle): void {
    (handle as Session).heardAt = this.core.clock.uptime();
  }

  violated(handle: SessionHandle, disconnect: "binaryFrame" | "messageTooLarge"): void {
    this.core.goodbye(handle as Session, new Disconnect(disconnect));
  }

  closed(handle: SessionHandle, code: number, reason: string): void {
    this.finish(handle as Session, code, reason);
  }

  #handle(session: Session, data: string): void {
    let command: Command;
    try {
      command = session.protocol.decode(data);
    } catch (error) {
      this.#answer(session, error instanceof CommandFault ? error.id : undefined, error);
      return;
    }
    if (session.state === "waiting" && command.type !== "connect") {
      if (session.wasRefused) return this.#answer(session, command.id, new ReplyError("tokenRequired"));
      // The first frame is no `connect`: the client is anonymous, and this command the first after it.
      this.#hold(session, undefined, connect(this.core, session, {}));
      this.receive(session, data);
      return;
    }
    this.#run(session, command);
  }

  #run(session: Session, command: Command): void {
    const { core } = this;
    const { id } = command;
    try {
      switch (command.type) {
        case "publish":
          return this.#spawn(session, id, publishFromClient(core, session, command));
        case "ack":
          return this.#spawn(session, id, ack(core, session, command));
        case "connect":
          return this.#hold(session, id, connect(core, session, command));
        case "subscribe":
          return this.#hold(session, id, subscribe(core, session, command));
        case "unsubscribe":
          return unsubscribe(core, session, command);
        case "presence":
          return this.#hold(session, id, presence(core, session, command));
        case "history":
          return this.#hold(session, id, history(core, session, command));
        case "refresh":
          return this.#hold(session, id, refresh(core, session, command));
        case "call":
          throw new ReplyError("noApplication");
        case "ping":
          return core.outbox.push(session, { type: "pong", ...(id !== undefined && { id }) });
        case "pong":
          return;
      }
    } catch (error) {
      this.#answer(session, id, error);
    }
  }

  /** Runs beside what follows. */
  #spawn(session: Session, id: number | undefined, action: Promise<void>): void {
    this.running++;
    void action.catch((error: unknown) => this.#answer(session, id, error)).finally(() => this.running--);
  }

  /** Runs before what follows. */
  #hold(session: Session, id: number | undefined, action: Promise<void>): void {
    session.pending ??= [];
    this.running++;
    action
      .catch((error: unknown) => this.#answer(session, id, error))
      .then(() => {
        this.running--;
        this.#release(session);
      })
      .catch((error: unknown) => this.#answer(session, undefined, error));
  }

  #release(session: Session): void {
    const held = session.pending ?? [];
    session.pending = null;
    let taken = 0;
    for (const data of held) {
      taken++;
      session.pendingBytes -= data.length + PENDING_OVERHEAD_BYTES;
      if (session.state === "closing" || session.state === "closed") return;
      this.#handle(session, data);
      // This one holds the rest back again. What it put into `pending` itself comes first.
      if (this.#isHolding(session)) break;
    }
    if (session.pending !== null) (session.pending as string[]).push(...held.slice(taken));
    else if (held.length > 0) session.connection.resume();
  }

  #isHolding(session: Session): boolean {
    return session.pending !== null;
  }

  /** The one catch point. */
  #answer(session: Session, id: number | undefined, error: unknown): void {
    const repeated = id === undefined ? {} : { id };
    if (error instanceof ReplyError) {
      const { code, message, retryMs } = error;
      this.core.outbox.push(session, {
        type: "error",
        ...repeated,
        code,
        message,
        ...(retryMs !== undefined && { retry: retryMs }),
      });
    } else if (error instanceof CommandFault) {
      const { code, message } = new ReplyError(error.error, error.detail);
      this.core.outbox.push(session, { type: "error", ...repeated, code, message });
    } else if (error instanceof Disconnect) {
      this.core.goodbye(session, error);
    } else {
      this.core.log.error("command failed", { session: session.id, user: session.user, error });
      const { code, message } = new ReplyError("internal");
      this.core.outbox.push(session, { type: "error", ...repeated, code, message });
    }
  }
}

const HANDSHAKE_GOODBYES = {
  badToken: "invalidToken",
  tokenExpired: "expiredToken",
  tokenRequired: "missingToken",
} as const;

/** The handshake connects and subscribes. A client without frames cannot try again on this connection: a bad token is a goodbye. */
async function connectByHandshake(core: Core, session: Session, handshake: Handshake): Promise<void> {
  const { token, client, session: resumed, channels, since } = handshake;
  try {
    await connect(core, session, {
      ...(token !== undefined && { token }),
      ...(client !== undefined && { client }),
      ...(resumed !== undefined && { session: resumed }),
      ...(since instanceof Map && { since: Object.fromEntries(since) }),
    });
  } catch (error) {
    if (!(error instanceof ReplyError) || !Object.hasOwn(HANDSHAKE_GOODBYES, error.error)) throw error;
    throw new Disconnect(HANDSHAKE_GOODBYES[error.error as keyof typeof HANDSHAKE_GOODBYES], error.message);
  }
  for (const channel of channels) {
    if (session.subscription(channel) !== undefined) continue;
    const refused = refusal(session, "subscribe", channel, channelOptions(core.settings, channel));
    if (refused === undefined) await joinByServer(core, session, channel, sinceOf(channel, since));
    else core.outbox.push(session, { type: "unsubscribed", channel, code: refused.code, reason: refused.message });
  }
}

function sinceOf(channel: string, since: Handshake["since"]): Since | undefined {
  return typeof since === "object" ? since.get(channel) : since;
}
