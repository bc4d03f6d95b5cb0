/** ack and refresh: what a client says about itself while it is connected. */
import type { AckCommand, RefreshCommand } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import type { Core } from "../deps.ts";
import { inboxHolder } from "../inbox.ts";
import type { Session } from "../model.ts";

export async function ack(core: Core, session: Session, command: AckCommand): Promise<void> {
  const { channel: name, offset, id } = command;
  const subscription = session.subscription(name);
  if (subscription === undefined) throw new ReplyError("notSubscribed", name);
  const { channel } = subscription;
  if (channel.starting !== null) await channel.starting;
  const holder = inboxHolder(session);
  if (holder === undefined || !channel.options.inbox)
    throw new ReplyError("forbidden", `${name} keeps no inbox for this session`);
  if (offset > channel.delivered)
    throw new ReplyError("badField", `\`offset\` is beyond ${channel.delivered}, the top of ${name}`);
  // The beginning is where an inbox without a position starts anyhow.
  if (offset > 0) await core.engine.state.acknowledge(name, holder, { epoch: channel.epoch, offset });
  if (id !== undefined) core.outbox.push(session, { type: "acked", id, channel: name, offset });
}

export async function refresh(core: Core, session: Session, command: RefreshCommand): Promise<void> {
  const identity = await core.authority.identify(command.token);
  if (identity.user !== session.identity.user) throw new ReplyError("badToken", "it names another user");
  session.identity = identity;
  core.watch(session);
  core.outbox.push(session, {
    type: "refreshed",
    ...(command.id !== undefined && { id: command.id }),
    ...(identity.expiresAt !== undefined && { expires: Math.max(0, identity.expiresAt - core.clock.now()) }),
  });
}
