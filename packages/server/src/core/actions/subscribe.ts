import type { SubscribeCommand, UnsubscribeCommand } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import { channelOptions } from "../channel-options.ts";
import type { Core } from "../deps.ts";
import { join, part } from "../join.ts";
import { askToRead } from "../permission.ts";
import { requireNotRevoked } from "../revocations.ts";
import { refusal, tokenMayOpen } from "../rights.ts";
import type { Session } from "../model.ts";

/** What a client may show of itself: everybody who is there is sent it, and it is kept once for each subscription. */
const MEMBER_BYTES_MAX = 4096;

export async function subscribe(core: Core, session: Session, command: SubscribeCommand): Promise<void> {
  const { channel } = command;
  const options = channelOptions(core.settings, channel);
  const refused = refusal(session, "subscribe", channel, options);
  let byToken = false;
  if (refused === "ask") await askToRead(core, session, "subscribe", channel, command.token);
  else if (refused !== undefined) {
    // A token for this one channel opens what needs a token, and nothing that belongs to somebody else or to nobody.
    if (command.token === undefined || !tokenMayOpen(channel, options)) throw refused;
    const { user } = session;
    await requireNotRevoked(core, user, await core.authority.admit(command.token, channel, user));
    byToken = true;
  }
  const present = command.presence !== undefined && command.presence !== false;
  if (present || command.events === true) {
    const unseen = refusal(session, "presence", channel, options);
    // To be let in is to be let see who is there; only where subscribing asked nobody, it is asked now.
    if (unseen === "ask" && refused !== "ask") await askToRead(core, session, "presence", channel, command.token);
    else if (unseen !== undefined && unseen !== "ask") throw unseen;
  }
  if (present && Buffer.byteLength(JSON.stringify(command.presence)) > MEMBER_BYTES_MAX)
    throw new ReplyError("tooLarge", `\`presence\` may have at most ${MEMBER_BYTES_MAX} bytes`);
  await join(core, session, {
    id: command.id,
    channel,
    since: command.since,
    member: present ? { data: command.presence === true ? undefined : command.presence } : undefined,
    events: command.events ?? false,
    echo: command.echo ?? true,
    byToken,
  });
}

export function unsubscribe(core: Core, session: Session, command: UnsubscribeCommand): void {
  const subscription = session.subscription(command.channel);
  if (subscription === undefined) throw new ReplyError("notSubscribed", command.channel);
  part(core, subscription, false);
  core.outbox.push(session, {
    type: "unsubscribed",
    ...(command.id !== undefined && { id: command.id }),
    channel: command.channel,
  });
}
