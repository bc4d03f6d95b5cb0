/**
 * Gateway: what transports call. It decodes, finds the action and answers; the one place where failures of clients are caught.
 *
 * Commands of a session take effect in the order in which they came. Those that must be finished first (`connect`,
 * `subscribe`, …) hold the following ones back in `pending`; a publish takes its place in the channel in the call itself, so
 * publishes run side by side and share a commit. Where the application has to be asked first, the commands about one channel stand in
 * a lane (`lanes.ts`), and the others go on.
 */
import { CommandFault, remedyOf } from "@longwire/protocol";
import { Disconnect, ReplyError } from "../base/failures.ts";
import { newSessionId } from "../base/ids.ts";
import type { Connection, Frame } from "../ports/connection.ts";
import type { Gateway, Handshake, SessionHandle } from "../ports/gateway.ts";
import type { Input, Protocol } from "../ports/protocol.ts";
import { connect } from "./actions/connect.ts";
import { perform, runsBeside } from "./actions/perform.ts";
import type { Core } from "./deps.ts";
import { connectByHandshake, goodbyeOf, speaks } from "./handshake.ts";
import { isPassing, Lanes } from "./lanes.ts";
import { channelToAskAbout } from "./permission.ts";
import type { Allowance } from "./allowance.ts";
import { Session } from "./model.ts";

/** With more than this waiting for a command to finish, the client is not read any further until it has. */
const PENDING_BYTES_MAX = 256 * 1024;

/** What a waiting message costs beside its text: an empty one must not be for nothing. */
const PENDING_OVERHEAD_BYTES = 32;

/** What a client said before it left is still carried out for so long: it need not have waited for the application's answers. */
const LEFT_MS = 5000;

export class CoreGateway implements Gateway {
  /** Commands that are being carried out. */
  running = 0;

  constructor(
    private readonly core: Core,
    private readonly finish: (session: Session, code: number, reason: string) => void,
  ) {}

  open(connection: Connection, protocol: Protocol, handshake: Handshake): SessionHandle {
    const { clock, settings, limits } = this.core;
    const { pingIntervalMs } = settings;
    const id = `${newSessionId()}${this.core.engine.bus.self}`;
    const session = new Session(id, connection, protocol, clock.now(), clock.uptime(), pingIntervalMs);
    this.core.sessions.arrive(session);
    this.core.watch(session);
    session.fleeting = handshake.fleeting ?? false;
    session.request = handshake.request ?? null;
    if (handshake.requestToken !== undefined) this.core.requestTokens.set(session, handshake.requestToken);
    if (session.fleeting && handshake.session !== undefined) {
      session.allowance = limits.allowanceFor(handshake.session, this.core.sessions.get(handshake.session));
    }
    const refusal = handshake.refusal ?? (session.fleeting ? undefined : limits.arrive(session));
    if (refusal !== undefined) this.core.goodbye(session, refusal);
    else if (handshake.fault !== undefined) this.core.goodbye(session, new Disconnect("badRequest", handshake.fault));
    else if (speaks(handshake)) this.#hold(session, HANDSHAKE, connectByHandshake(this.core, session, handshake));
    return session;
  }

  receive(handle: SessionHandle, data: Frame): void {
    const session = handle as Session;
    session.heardAt = this.core.clock.uptime();
    if (session.state === "closing" || session.state === "closed") return;
    const allowance = (session.allowance ??= this.core.limits.newAllowance());
    allowance.bytes -= data.length;
    if ((--allowance.commands < 0 || allowance.bytes < 0) && this.#isTooMuch(session, allowance, data)) return;
    if (session.pending !== null) {
      session.pending.push(data);
      waits(session, costOf(data));
      return;
    }
    this.#handle(session, data);
  }

  /** One that is refused is answered at once, also while others before it are waiting. */
  #isTooMuch(session: Session, allowance: Allowance, data: Frame): boolean {
    let refusal: ReplyError | undefined;
    try {
      refusal = this.core.limits.refusalOfCommand(allowance, data.length);
    } catch (error) {
      this.#answer(session, NOTHING_ASKED, error);
      return true;
    }
    if (refusal === undefined) return false;
    let asked: Asked = NOTHING_ASKED;
    try {
      asked = session.protocol.decode(data);
    } catch (error) {
      if (error instanceof CommandFault) asked = { id: error.id };
    }
    this.#answer(session, asked, refusal);
    return true;
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
      this.#hold(session, NOTHING_ASKED, connectUnasked(this.core, session));
      this.#postpone(session, data);
      return;
    }
    if ("channel" in command && session.lanes?.queue(command.channel, command, costOf(data)) === true) {
      waits(session, costOf(data));
      return;
    }
    const channel = channelToAskAbout(this.core, session, command);
    if (channel === undefined) this.#run(session, command);
    else this.#ask(session, command, channel, data);
  }

  /** Begins a lane for the channel. */
  #ask(session: Session, command: Input, channel: string, data: Frame): void {
    session.lanes ??= new Lanes();
    const { lanes } = session;
    if (lanes.isFull) {
      this.#hold(session, NOTHING_ASKED, lanes.freed());
      this.#postpone(session, data);
      return;
    }
    const run = lanes.run(channel, command, {
      carryOut: (next) => this.#carryOut(session, next),
      goesOn: (failure) => this.#isWanted(session, failure),
      taken: (bytes) => waitsNoMore(session, bytes),
    });
    this.#spawn(session, NOTHING_ASKED, run);
  }

  /** Resolves to what was wrong, which has been answered. */
  async #carryOut(session: Session, command: Input): Promise<unknown> {
    try {
      await perform(this.core, session, command);
      return undefined;
    } catch (error) {
      this.#answer(session, command, error);
      return error;
    }
  }

  /** Whether what the session said is still to be carried out after a command that ended with `failure`. */
  #isWanted(session: Session, failure: unknown): boolean {
    if (session.state === "open") return true;
    if (session.wasSentAway || isPassing(failure)) return false;
    return this.core.clock.uptime() - session.heardAt < LEFT_MS;
  }

  /** To be handled when what holds the session is done. */
  #postpone(session: Session, data: Frame): void {
    session.pending?.push(data);
    waits(session, costOf(data));
  }

  #run(session: Session, command: Input): void {
    try {
      const action = perform(this.core, session, command);
      if (action === undefined) return;
      if (runsBeside(command)) this.#spawn(session, command, action);
      else this.#hold(session, command, action);
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
      waitsNoMore(session, costOf(data));
      if (session.state === "closing" || session.state === "closed") return;
      this.#handle(session, data);
      // This one holds the rest back again. What it put into `pending` itself comes first.
      if (this.#isHolding(session)) break;
    }
    if (session.pending !== null) (session.pending as Frame[]).push(...held.slice(taken));
  }

  #isHolding(session: Session): boolean {
    return session.pending !== null;
  }

  /** The one catch point. */
  #answer(session: Session, asked: Asked, error: unknown): void {
    if (error instanceof Disconnect) return this.core.goodbye(session, error);
    const failure = this.#failureOf(session, error);
    // Which of its channels are subscribed no answer could tell; whoever comes again may have all of them.
    if (asked === HANDSHAKE) return this.core.goodbye(session, new Disconnect("internalError"));
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

/** What it refuses as it should ends the connection in words of its own: what is left is a bug. */
const HANDSHAKE: Asked = {};

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

function costOf(data: Frame): number {
  return data.length + PENDING_OVERHEAD_BYTES;
}

/** With too much waiting the client is not read until it has become less. */
function waits(session: Session, bytes: number): void {
  session.pendingBytes += bytes;
  if (session.pendingBytes > PENDING_BYTES_MAX) session.connection.pause();
}

function waitsNoMore(session: Session, bytes: number): void {
  const wasTooMuch = session.pendingBytes > PENDING_BYTES_MAX;
  session.pendingBytes -= bytes;
  if (wasTooMuch && session.pendingBytes <= PENDING_BYTES_MAX) session.connection.resume();
}

/** The client has begun with something else: what keeps it from connecting is no answer to that, but a goodbye. */
async function connectUnasked(core: Core, session: Session): Promise<void> {
  try {
    await connect(core, session, {});
  } catch (error) {
    throw error instanceof ReplyError ? goodbyeOf(error) : error;
  }
}
