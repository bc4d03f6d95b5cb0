/** publish: the one way a publication takes into a channel, from clients and from backends. */
import { channelFault, isForeignWorld, type PublishCommand } from "@longwire/protocol";
import { escapeHtmlInJson } from "../../base/escape-html.ts";
import { ReplyError } from "../../base/failures.ts";
import type { Draft, Published } from "../../ports/broker.ts";
import { channelOptions } from "../channel-options.ts";
import type { Core } from "../deps.ts";
import { askToPublish } from "../permission.ts";
import { refusal } from "../rights.ts";
import type { Session } from "../model.ts";

const CONGESTION_RETRY_MS = 100;

/** Asks to be allowed and hands the publication on. Everything up to the broker happens in the call: publications keep their order. */
export async function publishFromClient(core: Core, session: Session, command: PublishCommand): Promise<void> {
  const { channel, id } = command;
  const published = await publishAllowed(core, session, channel, {
    data: JSON.stringify(command.data),
    encoding: command.encoding,
    name: command.name,
    key: command.key,
    user: session.user,
    session: session.id,
    keep: true,
  });
  if (id === undefined || published === undefined) return;
  const { epoch, offset } = published;
  core.outbox.push(session, { type: "published", id, channel, epoch, offset });
}

/**
 * Publishes what the session may, in this very call unless the application has to be asked. Resolves to undefined where the client was
 * sent away meanwhile: nobody speaks after that.
 */
export async function publishAllowed(
  core: Core,
  session: Session,
  channel: string,
  draft: Draft,
): Promise<Published | undefined> {
  const options = channelOptions(core.settings, channel);
  const refused = refusal(session, "publish", channel, options);
  if (refused !== undefined && refused !== "ask") throw refused;
  core.limits.publish(session);
  // Before the application is asked: it sees what will be published, and what it says instead is its own.
  const said = options.escapeHtml ? { ...draft, data: escapeHtmlInJson(draft.data) } : draft;
  if (refused === undefined) return await publish(core, channel, said);
  checkSize(core, said);
  const answered = await askToPublish(core, session, channel, said);
  return session.wasSentAway ? undefined : await publish(core, channel, answered);
}

/** Checks what holds for everybody and gives the draft to the broker, in this very call. Rejects with `ReplyError`. */
export function publish(core: Core, channel: string, draft: Draft): Promise<Published> {
  const tooLarge = sizeFault(core, draft);
  if (tooLarge !== undefined) return Promise.reject(tooLarge);
  if (core.hub.congested(channel)) {
    return Promise.reject(
      new ReplyError("rateLimited", `${channel} gets more than its subscribers can be sent`, CONGESTION_RETRY_MS),
    );
  }
  return core.hub.broker.publish(channel, draft);
}

function checkSize(core: Core, draft: Draft): void {
  const fault = sizeFault(core, draft);
  if (fault !== undefined) throw fault;
}

function sizeFault({ settings: { publicationBytesMax } }: Core, { data }: Draft): ReplyError | undefined {
  // Two tests, because counting bytes walks through the text: a text of so few units cannot have more bytes than allowed.
  const isLarge = data.length * 3 > publicationBytesMax && Buffer.byteLength(data) > publicationBytesMax;
  return isLarge
    ? new ReplyError("tooLarge", `data may have at most ${publicationBytesMax} bytes (publicationBytesMax)`)
    : undefined;
}

/** Refuses what no backend may name: a bad name, and channels of foreign worlds, whose own HTTP APIs have rules of their own. */
export function checkChannel(channel: string): void {
  const fault = channelFault(channel);
  if (isForeignWorld(channel)) throw new ReplyError("forbidden", `${channel} belongs to clients of another protocol`);
  if (fault !== undefined) throw new ReplyError("badChannel", fault, undefined, "channel");
}
