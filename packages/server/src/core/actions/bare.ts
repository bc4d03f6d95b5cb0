/** bare: what a client without envelopes says goes into the channel of its connection. */
import { ReplyError } from "../../base/failures.ts";
import type { BareMessage } from "../../ports/protocol.ts";
import { channelOptions } from "../channel-options.ts";
import type { Core } from "../deps.ts";
import { refusal } from "../rights.ts";
import type { Session } from "../model.ts";
import { publishAllowed } from "./publish.ts";

export async function publishBare(core: Core, session: Session, message: BareMessage): Promise<void> {
  const { channel, data, encoding } = message;
  const options = channelOptions(core.settings, channel);
  const refused = refusal(session, "publish", channel, options);
  if (refused !== undefined && refused !== "ask") throw new ReplyError(refused.error, `${channel}: ${refused.message}`);
  await publishAllowed(core, session, channel, {
    data,
    encoding,
    user: session.user,
    session: session.id,
    exclude: options.bareEcho ? undefined : session.id,
    keep: true,
  });
}
