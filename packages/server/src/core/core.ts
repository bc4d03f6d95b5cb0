/** Puts the core together: the parts that know each other only through `deps.ts`. */
import type { Clock } from "../base/clock.ts";
import { Disconnect } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Turn } from "../base/turn.ts";
import type { Authority } from "../ports/authority.ts";
import type { Sink } from "../ports/broker.ts";
import type { Control } from "../ports/control.ts";
import type { Engine } from "../ports/engine.ts";
import type { Gateway } from "../ports/gateway.ts";
import type { Hooks } from "../ports/hooks.ts";
import { ClusterControl } from "./cluster-control.ts";
import { confirm, endElsewhere } from "./claiming.ts";
import { CoreControl } from "./control.ts";
import { Cursors } from "./cursors.ts";
import type { Core } from "./deps.ts";
import { drain } from "./drain.ts";
import { CoreGateway } from "./gateway.ts";
import { Handovers } from "./handovers.ts";
import { Hub } from "./hub.ts";
import { part } from "./join.ts";
import { Lifecycle } from "./lifecycle.ts";
import { Limits } from "./limits.ts";
import { Outbox } from "./outbox.ts";
import { answersOf } from "./peer-answers.ts";
import { Peers } from "./peers.ts";
import { Presence } from "./presence.ts";
import { forgetForResume, keepForResume, keepUnlessTaken, renew } from "./resume.ts";
import { Roster } from "./roster.ts";
import type { Session } from "./model.ts";
import { Sessions } from "./sessions.ts";
import type { Settings } from "./settings.ts";
import { SubscriberCounts } from "./subscriber-counts.ts";

/** Clients that have to come back are asked to do so over a span that grows with their number. */
const FENCED_SPAN_PER_CLIENT_MS = 1;
const FENCED_SPAN_MAX_MS = 5000;

const QUIET: ReadonlySet<string> = new Set(["shutdown", "replaced", "overloaded"]);

type Fate = "lost" | "fenced" | "moved" | "over";

export interface CoreParts {
  readonly gateway: Gateway;
  readonly control: Control;
  /** Says goodbye to everybody, and resolves when all are gone, when `withinMs` have passed, or soon after `hurry`. */
  drain(withinMs: number, hurry?: AbortSignal): Promise<void>;
  /** From now on these settings hold, for those who are connected too. */
  reload(settings: Settings): void;
  /** Connections that are open. */
  connections(): number;
  /** Connections opened and closed since the start, counted up. */
  changes(): number;
  stop(): void;
}

export interface CoreOptions {
  /** The record itself is read wherever a setting is used; a reload assigns all its fields in one turn. */
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shared with the transports: what they write at the end of a turn. */
  readonly turn: Turn;
  readonly authority: Authority;
  readonly hooks: Hooks;
  /** Opens the engine; it gets the hub as its sink. */
  readonly openEngine: (sink: Sink) => Engine;
}

export function createCore(options: CoreOptions): CoreParts {
  const { settings, clock, log, turn, authority, hooks } = options;
  const sessions = new Sessions();

  /**
   * The session is over for everybody else: subscriptions, presence, index. Its connection may still be closing. `lost`: it
   * may be resumed; `fenced`: it may have been already; `moved`: it goes on over another connection; `over`: it was sent away for good.
   */
  function retire(session: Session, fate: Fate): void {
    if (session.state === "open" && !session.fleeting) {
      if (fate === "lost") keepForResume(core, session);
      if (fate === "fenced") void keepUnlessTaken(core, session);
      if (fate === "over") {
        forgetForResume(core, session);
        if (peers.self !== "") void endElsewhere(core, session);
      }
    }
    for (const subscription of session.subscriptions) part(core, subscription, fate !== "over");
    sessions.retire(session);
  }

  function goodbye(session: Session, reason: Disconnect, fate = fateOf(reason)): void {
    if (session.state === "closing" || session.state === "closed") return;
    const { code, message, reconnect, afterMs } = reason;
    const frame = session.protocol.encode({
      type: "disconnect",
      code,
      reason: message,
      reconnect,
      ...(afterMs !== undefined && { after: afterMs }),
    });
    const frames = session.outbox ?? [];
    session.outbox = null;
    session.outboxBytes = 0;
    session.connection.send(frame === null ? frames : [...frames, frame]);
    session.wasSentAway = fate === "over";
    retire(session, fate);
    session.state = "closing";
    const told = { session: session.id, user: session.user, code, reason: message };
    // Whoever is ended for a reason of its own stands in the log; the many that a shutdown ends, or that are turned away at the door, do not.
    if (fate === "fenced" || QUIET.has(reason.disconnect)) log.debug("goodbye", () => told);
    else log.info("goodbye", told);
    session.connection.close(reason);
    lifecycle.watch(session);
  }

  function finish(session: Session, code: number, reason: string): void {
    if (session.state !== "closing") {
      retire(session, "lost");
      log.debug("connection closed", () => ({ session: session.id, user: session.user, code, reason }));
    }
    session.state = "closed";
    sessions.leave(session);
    lifecycle.forget(session);
    limits.leave(session);
    outbox.forget(session);
  }

  function fenced(): void {
    const everybody = sessions.everybody();
    const spanMs = Math.min(FENCED_SPAN_MAX_MS, everybody.length * FENCED_SPAN_PER_CLIENT_MS);
    log.warn("taken for dead, so all clients have to come back", { clients: everybody.length });
    // At once: their presence is gone, and those who come from now on are told of anew.
    for (const session of everybody)
      goodbye(session, new Disconnect("unavailableNow", undefined, Math.round(Math.random() * spanMs)), "fenced");
  }

  const outbox = new Outbox(settings, turn, goodbye);
  const cursors = new Cursors(outbox, goodbye);
  const limits = new Limits(settings.limits, clock);
  const hub = new Hub({ settings, outbox, turn, clock, log, findSession: (id) => sessions.get(id), fenced });
  const engine = options.openEngine(hub);
  hub.attach(engine.broker);
  const peers = new Peers(engine.bus, log);
  const handovers = new Handovers(
    clock,
    (id) => sessions.get(id),
    (session, doubted) => void confirm(core, session, doubted),
  );
  const presence = new Presence(engine.presence, clock, log);
  const lifecycle = new Lifecycle(settings, clock, outbox, goodbye, (session) => renew(core, session));
  const core: Core = {
    settings,
    clock,
    log,
    turn,
    authority,
    requestTokens: new WeakMap(),
    hooks,
    engine,
    peers,
    handovers,
    hub,
    limits,
    outbox,
    cursors,
    presence,
    sessions,
    goodbye,
    watch: (session) => lifecycle.watch(session),
  };

  const gateway = new CoreGateway(core, finish);
  const local = new CoreControl(core, new SubscriberCounts(peers, turn, clock));
  const roster = peers.self === "" ? undefined : new Roster(core);
  if (roster !== undefined) sessions.userChanged = (user) => roster.change(user);
  peers.listen(answersOf(core, local));

  return {
    gateway,
    control: roster === undefined ? local : new ClusterControl(core, local, roster),
    drain: (withinMs, hurry) => drain(core, gateway, withinMs, hurry),
    reload(next) {
      Object.assign(settings, next);
      limits.reload(next.limits);
      hub.reload();
      for (const session of sessions.everybody()) {
        // One that was counted down from other limits begins anew.
        session.allowance = null;
        lifecycle.watch(session);
      }
    },
    connections: () => sessions.connectionCount,
    changes: () => sessions.changes,
    stop() {
      presence.stop();
      handovers.stop();
      roster?.stop();
      lifecycle.stop();
    },
  };
}

function fateOf({ reconnect, disconnect }: Disconnect): Fate {
  if (reconnect) return "lost";
  return disconnect === "replaced" ? "moved" : "over";
}
