/**
 * Gateway: what transports call. It decodes, finds the action and answers; the one place where failures of clients are caught.
 *
 * Commands of a session take effect in the order in which they came. Those that must be finished first (`connect`,
 * `subscribe`, …) hold the following ones back in `pending`; a publish takes its place in the channel in the call itself, so
 * publishes run side by side and share a commit.
 */
import { CommandFault, remedyOf, type Since } from "@longwire/protocol";
import { Disconnect, ReplyError } from "../base/failures.ts";
import { newSessionId } from "../base/ids.ts";
import type { Connection, Frame } from "../ports/connection.ts";
import type { Gateway, Handshake, SessionHandle } from "../ports/gateway.ts";
import type { Input, Protocol } from "../ports/protocol.ts";
import { publishBare } from "./actions/bare.ts";
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
    session.fleeting = handshake.fleeting ?? false;
    if (handshake.fault !== undefined) this.core.goodbye(session, new Disconnect("badRequest", handshake.fault));
    else if (speaks(handshake)) this.#hold(session, NOTHING_ASKED, connectByHandshake(this.core, session, handshake));
    return session;
  }

  receive(handle: SessionHandle, data: Frame): void {
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

  strained(handle: SessionHandle): void {
    this.core.outbox.check(handle as Session);
  }

  async settled(handle: SessionHandle): Promise<void> {
    const session = handle as Session;
    if (isBusy(session)) {
      await new Promise<void>((resolve) => {
        session.settleWaiters ??= [];
        session.settleWaiters.push(resolve);
      });
    }
    this.core.outbox.flush(session);
  }

  async ended(handle: SessionHandle): Promise<boolean> {
    await this.settled(handle);
    return (handle as Session).subscriptions.length > 0;
  }

  cursor(handle: SessionHandle): string | undefined {
    return this.core.cursors.of(handle as Session);
  }

  violated(handle: SessionHandle, disconnect: "badRequest" | "messageTooLarge", detail?: string): void {
    this.core.goodbye(handle as Session, new Disconnect(disconnect, detail));
  }

  closed(handle: SessionHandle, code: number, reason: string): void {
    this.finish(handle as Session, code, reason);
  }

  #handle(session: Session, data: Frame): void {
    let command: Input;
    try {
      command = session.protocol.decode(data);
    } catch (error) {
      this.#answer(session, error instanceof CommandFault ? { id: error.id } : NOTHING_ASKED, error);
      return;
    }
    if (session.state === "waiting" && command.type !== "connect") {
      if (session.wasRefused) return this.#answer(session, command, new ReplyError("tokenRequired"));
      // The first frame is no `connect`: the client is anonymous, and this command the first after it.
      this.#hold(session, NOTHING_ASKED, connect(this.core, session, {}));
      this.receive(session, data);
      return;
    }
    this.#run(session, command);
  }

  #run(session: Session, command: Input): void {
    const { core } = this;
    try {
      switch (command.type) {
        case "publish":
          return this.#spawn(session, command, publishFromClient(core, session, command));
        case "bare":
          return this.#spawn(session, command, publishBare(core, session, command));
        case "ack":
          return this.#spawn(session, command, ack(core, session, command));
        case "connect":
          return this.#hold(session, command, connect(core, session, command));
        case "subscribe":
          return this.#hold(session, command, subscribe(core, session, command));
        case "unsubscribe":
          return unsubscribe(core, session, command);
        case "presence":
          return this.#hold(session, command, presence(core, session, command));
        case "history":
          return this.#hold(session, command, history(core, session, command));
        case "refresh":
          return this.#hold(session, command, refresh(core, session, command));
        case "call":
          throw new ReplyError("noApplication");
        case "ping":
          core.outbox.push(session, { type: "pong", ...(command.id !== undefined && { id: command.id }) });
          return;
        case "pong":
          return;
      }
    } catch (error) {
      this.#answer(session, command, error);
    }
  }

  /** Runs beside what follows. */
  #spawn(session: Session, asked: Asked, action: Promise<void>): void {
    this.#begun(session);
    void action
      .catch((error: unknown) => this.#answer(session, asked, error))
      .finally(() => {
        this.#done(session);
        settle(session);
      });
  }

  /** Runs before what follows. */
  #hold(session: Session, asked: Asked, action: Promise<void>): void {
    session.pending ??= [];
    this.#begun(session);
    action
      .catch((error: unknown) => this.#answer(session, asked, error))
      .then(() => {
        this.#done(session);
        this.#release(session);
      })
      .catch((error: unknown) => this.#answer(session, NOTHING_ASKED, error))
      .finally(() => settle(session));
  }

  #begun(session: Session): void {
    this.running++;
    session.running++;
  }

  #done(session: Session): void {
    this.running--;
    session.running--;
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
    if (session.pending !== null) (session.pending as Frame[]).push(...held.slice(taken));
    else if (held.length > 0) session.connection.resume();
  }

  #isHolding(session: Session): boolean {
    return session.pending !== null;
  }

  /** The one catch point. */
  #answer(session: Session, asked: Asked, error: unknown): void {
    if (error instanceof Disconnect) return this.core.goodbye(session, error);
    const failure = this.#failureOf(session, error);
    if (asked.type === "connect" && session.state === "waiting" && session.connection.hearing === "nothing") {
      // The request was all the client can say: there is no second attempt on this connection.
      return this.core.goodbye(session, goodbyeOf(failure));
    }
    const { code, message, retryMs } = failure;
    const { id, type, channel } = asked;
    if (type === "bare") {
      // There is no word for it, and to pass over a message in silence would be to lose it.
      const passes = remedyOf(code) === "retry";
      return this.core.goodbye(session, new Disconnect(passes ? "unavailableNow" : "refused", message));
    }
    if (type === "subscribe" && id === undefined && channel !== undefined && !session.subscription(channel)) {
      // `error` could not say which channel it is about.
      this.core.outbox.push(session, { type: "unsubscribed", channel, code, reason: message });
      return;
    }
    this.core.outbox.push(session, {
      type: "error",
      ...(id !== undefined && { id }),
      code,
      message,
      ...(retryMs !== undefined && { retry: retryMs }),
    });
  }

  #failureOf(session: Session, error: unknown): ReplyError {
    if (error instanceof ReplyError) return error;
    if (error instanceof CommandFault) return new ReplyError(error.error, error.detail);
    this.core.log.error("command failed", { session: session.id, user: session.user, error });
    return new ReplyError("internal");
  }
}

/** What of a command its refusal needs. */
interface Asked {
  readonly type?: Input["type"];
  readonly id?: number | undefined;
  readonly channel?: string;
}

const NOTHING_ASKED: Asked = {};

function isBusy({ pending, running }: Session): boolean {
  return pending !== null || running > 0;
}

/** Tells whoever waits for the session's commands to be done. */
function settle(session: Session): void {
  if (session.settleWaiters === null || isBusy(session)) return;
  const waiters = session.settleWaiters;
  session.settleWaiters = null;
  for (const waiter of waiters) waiter();
}

const HANDSHAKE_GOODBYES = {
  badToken: "invalidToken",
  tokenExpired: "expiredToken",
  tokenRequired: "missingToken",
} as const;

/** The goodbye that says what a failed `connect` says. */
function goodbyeOf({ error, code, message }: ReplyError): Disconnect {
  if (Object.hasOwn(HANDSHAKE_GOODBYES, error)) {
    return new Disconnect(HANDSHAKE_GOODBYES[error as keyof typeof HANDSHAKE_GOODBYES], message);
  }
  return new Disconnect(remedyOf(code) === "retry" ? "unavailableNow" : "badRequest", message);
}

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
    throw error instanceof ReplyError ? goodbyeOf(error) : error;
  }
  for (const channel of channels) {
    if (session.subscription(channel) !== undefined) continue;
    const refused = refusal(session, "subscribe", channel, channelOptions(core.settings, channel));
    if (refused === undefined) await joinByServer(core, session, channel, sinceOf(channel, since));
    else announceRefusal(core, session, channel, refused, channels.length === 1);
  }
}

/** Where frames are bare data, nobody would ever learn why the only channel stays silent. */
function announceRefusal(core: Core, session: Session, channel: string, refused: ReplyError, isOnly: boolean): void {
  const { code, message: reason } = refused;
  const frame = session.protocol.encode({ type: "unsubscribed", channel, code, reason });
  if (frame !== null) core.outbox.pushFrame(session, frame);
  else if (isOnly) throw new Disconnect(remedyOf(code) === "refresh" ? "missingToken" : "refused", refused.message);
}

function sinceOf(channel: string, since: Handshake["since"]): Since | undefined {
  return typeof since === "object" ? since.get(channel) : since;
}
