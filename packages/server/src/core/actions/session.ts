/** ack and refresh: what a client says about itself while it is connected. */
import type { AckCommand, Position, RefreshCommand } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import { channelOptions } from "../channel-options.ts";
import type { Core } from "../deps.ts";
import { identify } from "../identify.ts";
import { inboxHolder } from "../inbox.ts";
import { endForbidden } from "../narrowing.ts";
import { requireReading } from "../permission.ts";
import { requireNotRevoked } from "../revocations.ts";
import type { Session } from "../model.ts";

export async function ack(core: Core, session: Session, command: AckCommand): Promise<void> {
  const { channel: name, epoch, offset, id } = command;
  const top = await topOf(core, session, name);
  const holder = inboxHolder(session);
  if (holder === undefined || !channelOptions(core.settings, name).inbox)
    throw new ReplyError("forbidden", `${name} keeps no inbox for this session`);
  if (epoch !== undefined && epoch !== top.epoch)
    throw new ReplyError("badField", `\`epoch\` is not that of ${name} any more`);
  if (offset > top.offset) throw new ReplyError("badField", `\`offset\` is beyond ${top.offset}, the top of ${name}`);
  // The beginning is where an inbox without a position starts anyhow.
  if (offset > 0) await core.engine.state.acknowledge(name, holder, { epoch: top.epoch, offset });
  if (id !== undefined) core.outbox.push(session, { type: "acked", id, channel: name, offset });
}

/** How far the channel has come, for one who may know: a subscriber, or whoever speaks for a session that may be one. */
async function topOf(core: Core, session: Session, name: string): Promise<Position> {
  const channel = session.subscription(name)?.channel;
  if (channel !== undefined) {
    if (channel.starting !== null) await channel.starting;
    return { epoch: channel.epoch, offset: channel.delivered };
  }
  if (!session.fleeting) throw new ReplyError("notSubscribed", name);
  await requireReading(core, session, "subscribe", name);
  const { top } = await core.engine.broker.history(name, { from: "latest", limit: 1, bytesMax: 1 });
  return top;
}

export async function refresh(core: Core, session: Session, command: RefreshCommand): Promise<void> {
  const { identity } = await identify(core, session, { token: command.token });
  if (identity.user !== session.identity.user) throw new ReplyError("badToken", "it names another user");
  await requireNotRevoked(core, identity.user, identity.issuedAt);
  session.identity = identity;
  core.watch(session);
  core.outbox.push(session, {
    type: "refreshed",
    ...(command.id !== undefined && { id: command.id }),
    ...(identity.expiresAt !== undefined && { expires: Math.max(0, identity.expiresAt - core.clock.now()) }),
  });
  endForbidden(core, session);
}
