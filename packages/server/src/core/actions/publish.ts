/** publish: the one way a publication takes into a channel, from clients and from backends. */
import { channelFault, isForeignWorld, type PublishCommand } from "@longwire/protocol";
import { ReplyError } from "../../base/failures.ts";
import type { Draft, Published } from "../../ports/broker.ts";
import { channelOptions } from "../channel-options.ts";
import type { Core } from "../deps.ts";
import { refusal } from "../rights.ts";
import type { Session } from "../model.ts";

const CONGESTION_RETRY_MS = 100;

/** Asks to be allowed and hands the publication on. Everything up to the broker happens in the call: publications keep their order. */
export async function publishFromClient(core: Core, session: Session, command: PublishCommand): Promise<void> {
  const { channel, id } = command;
  const refused = refusal(session, "publish", channel, channelOptions(core.settings, channel));
  if (refused !== undefined) throw refused;
  const { epoch, offset } = await publish(core, channel, {
    data: JSON.stringify(command.data),
    encoding: command.encoding,
    name: command.name,
    key: command.key,
    user: session.user,
    session: session.id,
    keep: true,
  });
  if (id !== undefined) core.outbox.push(session, { type: "published", id, channel, epoch, offset });
}

/** Checks what holds for everybody and gives the draft to the broker, in this very call. Rejects with `ReplyError`. */
export function publish(core: Core, channel: string, draft: Draft): Promise<Published> {
  const { publicationBytesMax } = core.settings;
  // Two tests, because counting bytes walks through the text: a text of so few units cannot have more bytes than allowed.
  if (draft.data.length * 3 > publicationBytesMax && Buffer.byteLength(draft.data) > publicationBytesMax) {
    return Promise.reject(new ReplyError("tooLarge", `data may have at most ${publicationBytesMax} bytes`));
  }
  if (core.hub.congested(channel)) {
    return Promise.reject(
      new ReplyError("rateLimited", `${channel} gets more than its subscribers can be sent`, CONGESTION_RETRY_MS),
    );
  }
  return core.hub.broker.publish(channel, draft);
}

/** Refuses what no backend may name: a bad name, and channels of foreign worlds, whose own HTTP APIs have rules of their own. */
export function checkChannel(channel: string): void {
  const fault = channelFault(channel);
  if (isForeignWorld(channel)) throw new ReplyError("forbidden", `${channel} belongs to clients of another protocol`);
  if (fault !== undefined) throw new ReplyError("badChannel", fault, undefined, "channel");
}
