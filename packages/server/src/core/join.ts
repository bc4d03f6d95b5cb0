/** Join: starts a subscription, whoever asked for it: a client's `subscribe`, a token, a query or a backend. */
import type { Json, Position, Since } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { Core } from "./deps.ts";
import { hasEnded } from "./hub.ts";
import { inboxHolder } from "./inbox.ts";
import { answerFromTop, recover, type ReplayStart } from "./recovery.ts";
import type { Session, Subscription } from "./model.ts";

export interface JoinRequest {
  readonly channel: string;
  readonly since?: Since | undefined;
  /** Be present, with this data; undefined: not present. */
  readonly member?: { readonly data: Json | undefined } | undefined;
  readonly events: boolean;
  readonly echo: boolean;
  /** A token for this one channel has opened it. */
  readonly byToken: boolean;
  /** The command's id, repeated in `subscribed`. */
  readonly id?: number | undefined;
}

/** Resolves when `subscribed` has been said; a replay may still be on its way. Rejects with `ReplyError`. */
export async function join(core: Core, session: Session, request: JoinRequest): Promise<void> {
  const { channel, id } = request;
  // It may have ended while its right was being checked, and nobody would end what it subscribes to now.
  if (session.state !== "open") return;
  if (session.subscription(channel) !== undefined) throw new ReplyError("alreadySubscribed", channel);
  if (session.subscriptions.length >= core.settings.subscriptionsMax) {
    throw new ReplyError(
      "limit",
      `at most ${core.settings.subscriptionsMax} subscriptions per session (subscriptionsMax)`,
    );
  }
  const subscription = core.hub.add(session, channel, request);
  let answered = false;
  const answer = (position: Position, recovered: boolean): void => {
    answered = true;
    // Recovered in another epoch it is news, also for one who returns: with the old one its next position would be a wrong one.
    const isMoved = typeof request.since === "object" && request.since.epoch !== position.epoch;
    const frame = { type: "subscribed", ...(id !== undefined && { id }), channel, ...position, recovered } as const;
    core.outbox.push(session, frame, recovered && !isMoved);
  };
  try {
    if (subscription.channel.starting !== null) await subscription.channel.starting;
    const start = await startOf(core, subscription, request.since);
    if (start === "latest") {
      if (!hasEnded(subscription)) answerFromTop(core, subscription, answer, true);
    } else await recover(core, subscription, start, answer);
    if (request.member !== undefined && !hasEnded(subscription)) {
      await core.presence.enter(subscription, request.member.data);
    }
  } catch (error) {
    core.hub.remove(subscription);
    throw error;
  }
  // A backend ended it meanwhile: whoever asked with an id waits for a reply all the same.
  if (!answered && id !== undefined && session.state === "open") {
    throw new ReplyError("notSubscribed", `${channel}: the subscription was ended before it began`);
  }
}

/** Ends a subscription. `dropped`: the connection was lost, so the person may be back in a moment. */
export function part(core: Core, subscription: Subscription, dropped: boolean): void {
  core.hub.remove(subscription);
  core.presence.leave(subscription, dropped);
}

async function startOf(
  core: Core,
  subscription: Subscription,
  since: Since | undefined,
): Promise<ReplayStart | "latest"> {
  const { session, channel } = subscription;
  const start = since ?? channel.options.start;
  if (start === "latest") return "latest";
  if (start === "earliest") return { from: "earliest", inbox: false };
  // Where inboxes are kept, what is still there is wanted in any case.
  if (start !== "inbox") return { from: start, inbox: channel.options.inbox };
  const holder = inboxHolder(session);
  if (holder === undefined || !channel.options.inbox) {
    if (since === undefined) return "latest";
    throw new ReplyError(
      "forbidden",
      holder === undefined ? "only signed-in clients have an inbox" : "this channel keeps no inboxes",
    );
  }
  const position = await core.engine.state.position(channel.name, holder);
  return { from: position ?? "earliest", inbox: true };
}
