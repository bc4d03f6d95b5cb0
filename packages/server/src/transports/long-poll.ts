/**
 * Long polling: `GET` or `POST /poll`. Each poll is a session of its own: it catches up from the cursor that it brings, and is answered with
 * the first thing there is to say, and the next cursor (SPEC.md, group LP).
 *
 * Ten thousand may wait at once, and one publication answers them all. So a waiting poll holds little: no timer of its own, no stream,
 * nothing of its request; polls that get the same answer share its bytes; and they are answered in portions, so that
 * others get their turn in between.
 */
import type { Server } from "bun";
import type { Clock } from "../base/clock.ts";
import { Disconnect } from "../base/failures.ts";
import { TimerWheel, type WheelItem } from "../base/timer-wheel.ts";
import type { Turn } from "../base/turn.ts";
import type { Connection, Frame, Hearing } from "../ports/connection.ts";
import type { Gateway, SessionHandle } from "../ports/gateway.ts";
import type { Protocol } from "../ports/protocol.ts";
import { takesGzip } from "../wire/gzip.ts";
import { clientAddress, type ForwardedReader } from "./client-address.ts";
import {
  answering,
  type OneWayProtocol,
  oneWayProtocol,
  type OpeningLimits,
  readOpening,
  refusalAnswer,
  requireCursorRoom,
} from "./opening.ts";
import { PollBodies } from "./poll-bodies.ts";
import { type RequestViewer, withView } from "./request-view.ts";

export interface LongPollParts {
  readonly gateway: Gateway;
  readonly turn: Turn;
  readonly clock: Clock;
  readonly limits: OpeningLimits;
  readonly compression: boolean;
  /** The longest that a poll may wait. */
  readonly waitSecondsMax: number;
  /** What is put into one answer; what is left comes with the next. */
  readonly answerBytesMax: number;
  readonly draining: () => boolean;
  readonly viewer: RequestViewer | undefined;
  /** Where proxies are trusted. */
  readonly forwarded: ForwardedReader | undefined;
  readonly protocol: Protocol;
}

export type LongPollTransport = (request: Request, server: Server<unknown>, query: string) => Promise<Response>;

const WAIT_SECONDS = 25;
const TICK_MS = 100;

/** How long an answer waits for a cursor that cannot be told yet. */
const LATE_MS = 200;

const ANSWERS_PER_TURN = 1000;

/**
 * The runtime's idle timer is armed once, by the request, and goes on after the answer: what is left of it is how long the client
 * may take to poll again. Without one, a client that vanishes between two polls would leave its descriptor behind for ever (measured).
 */
const BETWEEN_POLLS_SECONDS = 60;
const RUNTIME_SECONDS_MAX = 255;

export function longPollTransport(parts: LongPollParts): LongPollTransport {
  const polls = new LongPolls(parts);
  return (request, server, query) =>
    // Not an async function: while a poll waits, there is nothing but this promise and the connection.
    new Promise((resolve, reject) => {
      answering(() => polls.begin(request, server, query, resolve)).then((refused) => {
        if (refused !== undefined) resolve(refused);
      }, reject);
    });
}

/**
 * opening: its channels are being subscribed. waiting: there is nothing to say. ready: there is, and this turn may bring more. late: the
 * same, but the cursor cannot be told yet. done: it was answered, or its client has gone.
 */
type Phase = "opening" | "waiting" | "ready" | "late" | "done";

class PollConnection implements Connection, WheelItem, EventListenerObject {
  slot = 0;
  phase: Phase = "opening";
  session: SessionHandle | null = null;
  #frames: readonly Frame[] = NO_FRAMES;
  #bytes = 0;
  /** The session is being asked for its cursor. */
  #asking = false;
  #goodbye: Disconnect | null = null;

  constructor(
    private readonly polls: LongPolls,
    private readonly gzip: boolean,
    readonly address: string,
    /** The one the client came with, until there is a newer one. */
    private cursor: string,
    private readonly answerWith: (response: Response) => void,
  ) {}

  get hearing(): Hearing {
    return "nothing";
  }

  get fanout(): null {
    return null;
  }

  send(frames: readonly Frame[]): void {
    if (this.phase === "done" || frames.length === 0) return;
    this.#frames = this.#frames.length === 0 ? frames : [...this.#frames, ...frames];
    for (const frame of frames) this.#bytes += Buffer.byteLength(frame);
    // While the session is asked for its cursor, whoever asks answers with what this adds.
    if (this.phase === "opening" || this.#asking) return;
    // Now, since a goodbye among them has taken the session's positions with it when `close` is called.
    this.#ask();
    if (this.#bytes > this.polls.parts.answerBytesMax) this.answer();
    else if (this.phase === "waiting" || this.phase === "late") this.polls.ready(this);
  }

  /** Paces what is replayed at the opening. Later nothing waits for the client: what is there is answered at the end of the turn. */
  buffered(): number {
    if (this.phase !== "opening") return 0;
    // One publication alone may be larger than the budget by its envelope; the client could never get past it.
    return this.#frames.length === 1 ? Math.min(this.#bytes, this.polls.parts.answerBytesMax) : this.#bytes;
  }

  join(): void {}

  leave(): void {}

  pause(): void {}

  resume(): void {}

  ping(): void {}

  close(goodbye: Disconnect): void {
    this.#goodbye = goodbye;
    // While it is opening, others may still be at work for it.
    if (this.phase !== "opening") this.#finish(this.#body(), goodbye.code, goodbye.message);
  }

  cut(): void {
    const goodbye = this.#goodbye ?? new Disconnect("shutdown");
    this.#finish(refusalAnswer(goodbye), goodbye.code, goodbye.message);
  }

  /** The client has gone: `abort` of its request. */
  handleEvent(): void {
    this.#finish(goneAnswer(), 1006, "the client went away");
  }

  /** Everything asked for in the request is done. */
  opened(waitMs: number): void {
    if (this.phase === "done") return;
    const goodbye = this.#goodbye;
    if (goodbye !== null) {
      this.#finish(refusalAnswer(goodbye), goodbye.code, goodbye.message);
      return;
    }
    this.phase = "waiting";
    if (this.#bytes > 0 || waitMs === 0) this.answer();
    else this.polls.waits(this, waitMs);
  }

  answer(): void {
    const isTold = this.#ask();
    // A channel that a backend is just giving the session has no position yet; it will in a moment.
    if (!isTold && this.phase !== "late" && this.phase !== "done") {
      this.phase = "late";
      this.polls.waits(this, LATE_MS);
      return;
    }
    this.#finish(this.#body(), 1000, "answered");
  }

  /** Takes the cursor of what was sent so far; what waits in the outbox comes first, and a cursor that gets too long ends the session. */
  #ask(): boolean {
    if (this.#asking || this.session === null) return false;
    this.#asking = true;
    const cursor = this.polls.parts.gateway.cursor(this.session);
    this.#asking = false;
    if (cursor === undefined) return false;
    // Where nothing is subscribed the one that was brought stays good.
    if (cursor !== "") this.cursor = cursor;
    return true;
  }

  #body(): Response {
    return this.polls.bodies.answer(this.cursor, this.#frames, this.gzip);
  }

  /** Exactly once. */
  #finish(response: Response, code: number, reason: string): void {
    if (this.phase === "done") return;
    this.phase = "done";
    this.#frames = NO_FRAMES;
    this.#bytes = 0;
    const { session } = this;
    this.session = null;
    this.polls.done(this);
    this.answerWith(response);
    if (session !== null) this.polls.parts.gateway.closed(session, code, reason);
  }
}

const NO_FRAMES: readonly Frame[] = [];

/** For a client that will not read it. One each: the runtime uses up the body of an answer, also where there is none. */
function goneAnswer(): Response {
  return new Response(null, { status: 499 });
}

class LongPolls {
  readonly bodies: PollBodies;
  readonly #wheel: TimerWheel<PollConnection>;
  readonly #protocol: OneWayProtocol;
  /** Those that will be answered at the end of this turn, or of the next ones. */
  #ready: PollConnection[] = [];

  constructor(readonly parts: LongPollParts) {
    this.bodies = new PollBodies(parts.compression);
    this.#wheel = new TimerWheel(parts.clock, TICK_MS, (poll) => poll.answer());
    this.#protocol = oneWayProtocol({ ...parts.protocol, cursorApart: true });
  }

  /** Opens the poll's session; it is answered then, or later. Throws what `answering` takes. */
  async begin(
    request: Request,
    server: Server<unknown>,
    query: string,
    answerWith: (response: Response) => void,
  ): Promise<undefined> {
    const { gateway, limits, compression, draining } = this.parts;
    const opening = await readOpening(request, query, limits);
    requireCursorRoom(opening);
    const { handshake, lines, parameters, quiet } = opening;
    if (parameters.has("frames")) throw new Disconnect("badRequest", "frames: a poll has no bare form");
    const waitSeconds = readWait(parameters.get("wait"), this.parts.waitSecondsMax);
    if (draining()) throw new Disconnect("shutdown");
    const idleSeconds = runtimeSeconds(waitSeconds);
    const connection = new PollConnection(
      this,
      compression && takesGzip(request.headers.get("accept-encoding")),
      clientAddress(this.parts.forwarded, request, server),
      handshake.since instanceof Map ? (parameters.get("since") ?? "") : "",
      idleSeconds > 0 ? answerWith : armed(request, server, answerWith),
    );
    const { signal } = request;
    if (signal.aborted) {
      answerWith(goneAnswer());
      return undefined;
    }
    signal.addEventListener("abort", connection);
    server.timeout(request, idleSeconds);
    const shown = withView(handshake, this.parts.viewer, request, "poll", query);
    const session = gateway.open(connection, quiet ? this.#protocol.quiet : this.#protocol.loud, shown);
    connection.session = session;
    for (const line of lines) gateway.receive(session, line);
    await gateway.settled(session);
    connection.opened(waitSeconds * 1000);
    return undefined;
  }

  waits(poll: PollConnection, ms: number): void {
    this.#wheel.schedule(poll, this.parts.clock.uptime() + ms);
  }

  ready(poll: PollConnection): void {
    poll.phase = "ready";
    if (this.#ready.push(poll) === 1) this.parts.turn.atEnd(this.#answerSome);
  }

  done(poll: PollConnection): void {
    this.#wheel.cancel(poll);
  }

  readonly #answerSome = (): void => {
    const polls = this.#ready;
    this.#ready = polls.slice(ANSWERS_PER_TURN);
    if (this.#ready.length > 0) this.parts.turn.atEnd(this.#answerSome);
    for (const poll of polls.slice(0, ANSWERS_PER_TURN)) if (poll.phase === "ready") poll.answer();
  };
}

function readWait(text: string | null, max: number): number {
  if (text === null || text === "") return Math.min(WAIT_SECONDS, max);
  const seconds = /^\d{1,9}(\.\d{1,9})?$/.test(text) ? Number(text) : Infinity;
  if (seconds > max) throw new Disconnect("badRequest", `wait: seconds, from 0 to ${max} (pollWaitSecondsMax)`);
  return seconds;
}

/** 0: none, since the runtime cannot count so far. */
function runtimeSeconds(waitSeconds: number): number {
  const seconds = Math.ceil(waitSeconds) + BETWEEN_POLLS_SECONDS;
  return seconds > RUNTIME_SECONDS_MAX ? 0 : seconds;
}

/** Arms the runtime's timer with the answer, where it could not be before: such a poll holds its request for as long as it waits. */
function armed(
  request: Request,
  server: Server<unknown>,
  answerWith: (response: Response) => void,
): (response: Response) => void {
  return (response) => {
    server.timeout(request, BETWEEN_POLLS_SECONDS);
    answerWith(response);
  };
}
