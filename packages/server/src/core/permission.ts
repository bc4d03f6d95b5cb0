/** Permission: what `rights.ts` says, and where it says to ask, what the application answers. */
import { ReplyError } from "../base/failures.ts";
import type { Action } from "../ports/authority.ts";
import type { Draft } from "../ports/broker.ts";
import type { Input } from "../ports/protocol.ts";
import { channelOptions } from "./channel-options.ts";
import type { Core } from "./deps.ts";
import { refusal } from "./rights.ts";
import type { Session } from "./model.ts";

type Reading = "subscribe" | "presence" | "history";

/** Nobody can be asked although the configuration says so, which it is not allowed to. */
const NOBODY = "there is nobody to ask";

/** Rejects with `ReplyError` where the session may not read the channel in this way. Where nobody has to be asked, nothing is waited for. */
export async function requireReading(
  core: Core,
  session: Session,
  action: Reading,
  channel: string,
  token?: string,
): Promise<void> {
  const refused = refusal(session, action, channel, channelOptions(core.settings, channel));
  if (refused === "ask") await askToRead(core, session, action, channel, token);
  else if (refused !== undefined) throw refused;
}

/** Asks the application whether the session may read the channel. */
export async function askToRead(
  core: Core,
  session: Session,
  action: Reading,
  channel: string,
  token?: string,
): Promise<void> {
  const { user } = session;
  if (core.hooks.subscribe === undefined) throw new ReplyError("unavailable", NOBODY);
  await core.hooks.subscribe({ session: session.id, user, channel, token });
  // The answer was about somebody else.
  if (session.user !== user) throw new ReplyError("unavailable", "the session's user has changed meanwhile");
  requireStill(core, session, action, channel);
}

/** A `refresh` is not held up by questions: what its token has taken away, the answer does not give back. */
function requireStill(core: Core, session: Session, action: Action, channel: string): void {
  const refused = refusal(session, action, channel, channelOptions(core.settings, channel));
  if (refused !== undefined && refused !== "ask") throw refused;
}

/** Asks the application whether the session may publish this, and resolves to what it makes of it. */
export async function askToPublish(core: Core, session: Session, channel: string, draft: Draft): Promise<Draft> {
  if (core.hooks.publish === undefined) throw new ReplyError("unavailable", NOBODY);
  const { data, encoding, name, key } = draft;
  const { id, user } = session;
  const answer = await core.hooks.publish({ session: id, user, channel, data, encoding, name, key });
  requireStill(core, session, "publish", channel);
  return { ...draft, ...answer };
}

/** The channel about which the application may have to be asked before the command is carried out. */
export function channelToAskAbout(core: Core, session: Session, command: Input): string | undefined {
  if (core.hooks.subscribe === undefined || !("channel" in command)) return undefined;
  return needsAnswer(core, session, command) ? command.channel : undefined;
}

function needsAnswer({ settings }: Core, session: Session, command: Extract<Input, { channel: string }>): boolean {
  const rules = channelOptions(settings, command.channel);
  switch (command.type) {
    case "publish":
    case "bare":
      return rules.publish === "hook";
    case "subscribe":
      // With `presence` or `events` the right of presence is needed too.
      return rules.subscribe === "hook" || rules.presence === "hook";
    case "presence":
    case "history":
      return rules[command.type] === "hook";
    case "ack":
      return session.fleeting && rules.subscribe === "hook";
    case "unsubscribe":
      return false;
  }
}
