/** Identify: who is it? A token says so, or the application, which sees the request. */
import type { ConnectCommand } from "@longwire/protocol";
import type { RequestView } from "../ports/gateway.ts";
import type { ConnectAnswer } from "../ports/hooks.ts";
import { ReplyError } from "../base/failures.ts";
import type { Identity } from "../ports/authority.ts";
import type { Core } from "./deps.ts";
import { ANONYMOUS, type Session } from "./model.ts";

/** A `refresh` comes long after the request. */
const REFRESH: RequestView = { transport: "refresh", headers: {}, query: {} };

/** Rejects with `ReplyError`: the token is not good, the application says no, or cannot be asked. */
export async function identify(
  core: Core,
  session: Session,
  command: Pick<ConnectCommand, "token" | "client" | "session">,
): Promise<ConnectAnswer> {
  const { hooks, settings } = core;
  const { client, session: resumes } = command;
  // A header or a cookie speaks where the client itself brings nothing.
  const token = command.token ?? core.requestTokens.get(session);
  if (hooks.connect === undefined || !isAsked(settings.askConnect, token)) {
    if (token === undefined && settings.anonymous === "refused") throw new ReplyError("tokenRequired");
    const identity = token === undefined ? ANONYMOUS : await core.authority.identify(token);
    return { identity: renewedBy(command, identity), data: undefined };
  }
  const { id, protocol, connection } = session;
  const { identity, data } = await hooks.connect({
    session: id,
    resumes,
    client,
    request: session.request ?? REFRESH,
    protocol: protocol.form,
    address: connection.address,
    token,
  });
  return { identity: renewedBy(command, identity), data };
}

/** Whoever came without a token of its own has none to renew. */
function renewedBy({ token }: Pick<ConnectCommand, "token">, identity: Identity): Identity {
  return token === undefined && identity !== ANONYMOUS ? { ...identity, anew: true } : identity;
}

function isAsked(askConnect: Core["settings"]["askConnect"], token: string | undefined): boolean {
  return askConnect === "always" || (askConnect === "without-token" && token === undefined);
}
