/** Who may do what: the namespace's rule, the token's `allow`, and the channels that belong to somebody. SPEC.md, group NS. */
import { isForeignWorld, personalUser } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { Action, Allow } from "../ports/authority.ts";
import type { Session } from "./model.ts";
import type { ChannelOptions } from "./settings.ts";

const NOT_YOURS = "it is the personal channel of somebody else";

/** Why the session may not do this, undefined when it may, or `ask` where the application has to be asked. */
export function refusal(
  session: Session,
  action: Action,
  channel: string,
  options: ChannelOptions,
): ReplyError | "ask" | undefined {
  if (isForeignWorld(channel)) return new ReplyError("forbidden", "the channel belongs to clients of another protocol");
  const { user } = session;
  const owner = personalUser(channel);
  if (owner !== undefined && owner !== user && action !== "publish") return new ReplyError("forbidden", NOT_YOURS);
  const rule = options[action];
  if (rule === "nobody") return new ReplyError("forbidden", `clients may not ${verb(action)} here`);
  const { allow } = session.identity;
  if (allow !== undefined) {
    if (!allows(allow, action, channel))
      return new ReplyError("forbidden", `the token does not allow to ${verb(action)} on ${channel}`);
    // What a token was given once does not speak for the application of today, which may also change what is said.
    if (rule !== "hook") return undefined;
  }
  // The server has subscribed it at connect; the client may leave and come back.
  if (action === "subscribe" && session.identity.channels.includes(channel)) return undefined;
  switch (rule) {
    case "everybody":
      return undefined;
    case "signed-in":
      return user === undefined
        ? new ReplyError("tokenRequired", `only signed-in clients may ${verb(action)} here`)
        : undefined;
    case "owner":
      return owner !== undefined && owner === user
        ? undefined
        : new ReplyError("forbidden", `only its owner may ${verb(action)} here`);
    case "hook":
      // Who was let in to read may see what there is to read.
      return action !== "subscribe" && action !== "publish" && session.subscription(channel) !== undefined
        ? undefined
        : "ask";
    case "token":
      return new ReplyError(
        user === undefined ? "tokenRequired" : "forbidden",
        `a token must allow to ${verb(action)} here`,
      );
  }
}

/** Why the server may not subscribe the session by itself, whoever says so: a token, a backend. Nobody reads somebody else's channel. */
export function refusalOfGift(session: Session, channel: string): ReplyError | undefined {
  if (isForeignWorld(channel)) return new ReplyError("forbidden", "the channel belongs to clients of another protocol");
  const owner = personalUser(channel);
  return owner === undefined || owner === session.user ? undefined : new ReplyError("forbidden", NOT_YOURS);
}

/** Whether a token for this one channel can open it. */
export function tokenMayOpen(channel: string, { subscribe }: ChannelOptions): boolean {
  const isOpenable = subscribe !== "nobody" && subscribe !== "owner";
  return isOpenable && personalUser(channel) === undefined && !isForeignWorld(channel);
}

function verb(action: Action): string {
  return action === "presence" || action === "history" ? `read the ${action}` : action;
}

function allows(allow: Allow, action: Action, channel: string): boolean {
  return allow[action]?.some((pattern) => matches(pattern, channel)) ?? false;
}

/** `*` stands for any run of characters, also none. Linear in both lengths, whatever the pattern: patterns come from tokens. */
export function matches(pattern: string, channel: string): boolean {
  const parts = pattern.split("*");
  const first = parts[0] ?? "";
  if (parts.length === 1) return pattern === channel;
  const last = parts.at(-1) ?? "";
  if (!channel.startsWith(first) || !channel.endsWith(last) || channel.length < first.length + last.length)
    return false;
  let at = first.length;
  const end = channel.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = channel.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
