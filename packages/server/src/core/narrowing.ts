/** Narrowing: a session may do less than before, and what it has begun under its former rights must not go on. */
import { personalUser } from "@longwire/protocol";
import type { ReplyError } from "../base/failures.ts";
import type { Core } from "./deps.ts";
import { part } from "./join.ts";
import { refusal } from "./rights.ts";
import type { Session, Subscription } from "./model.ts";

/**
 * Ends the subscriptions that would be refused today. What the server itself has subscribed in somebody else's name stays: the personal channel, what
 * the application gave, what a token for the one channel opened; and what the application was asked about.
 */
export function endForbidden(core: Core, session: Session): void {
  // Ending one makes a new list.
  for (const subscription of session.subscriptions) {
    const refused = refusalNow(session, subscription);
    if (refused === undefined) continue;
    const { code, message: reason } = refused;
    part(core, subscription, false);
    core.outbox.push(session, { type: "unsubscribed", channel: subscription.channel.name, code, reason });
  }
}

function refusalNow(session: Session, { channel, byToken, member, events }: Subscription): ReplyError | undefined {
  const { name, options } = channel;
  const owner = personalUser(name);
  const isOwn = owner !== undefined && owner === session.user;
  const isGiven = isOwn || byToken || session.luggage.channels.includes(name);
  const refused = isGiven ? undefined : refusal(session, "subscribe", name, options);
  if (refused !== undefined && refused !== "ask") return refused;
  const isWatching = member !== null || events;
  const unseen = isWatching ? refusal(session, "presence", name, options) : undefined;
  return unseen === "ask" ? undefined : unseen;
}
