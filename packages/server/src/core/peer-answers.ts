/** Peer answers: what this process says when others ask, each of it about its own sessions alone. */
import type { Json } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { CoreControl } from "./control.ts";
import type { Core } from "./deps.ts";
import { answerLuggage, answerYield } from "./moving.ts";
import type { PeerAnswers, Questions, SessionMethod } from "./peers.ts";
import { revocationOf } from "./revocations.ts";

/** Only these can be called by name, whatever the name is. */
const SESSION_METHODS: Readonly<Record<SessionMethod, true>> = {
  session: true,
  send: true,
  disconnectSession: true,
  subscribeSession: true,
  unsubscribeSession: true,
  bindUser: true,
  sessionData: true,
  putSessionData: true,
  patchSessionData: true,
  setSessionState: true,
  addSessionState: true,
};

export function answersOf(core: Core, control: CoreControl): PeerAnswers {
  return {
    reached: ({ channels }) => channels.map((channel) => control.reached(channel)),
    followed: (query) => control.followed(query),
    subscribers: ({ channel }) => core.hub.subscriberCount(channel),
    sessions: (page) => control.sessions(page),
    users: (page) => control.users(page),
    user: async ({ user }) => (await control.user(user)).sessions,
    async disconnectUser({ user, options }) {
      if (options.revokeMs !== undefined) await outpaced(core, user);
      return control.endSessions(user, options);
    },
    membership: (change) => changeMembershipHere(core, control, change),
    holding: ({ session }) => core.sessions.get(session) !== undefined,
    async ofSession({ method, parameters }) {
      if (!Object.hasOwn(SESSION_METHODS, method))
        throw new ReplyError("unavailable", "a process of another version was asked");
      const [session] = parameters;
      if (typeof session === "string") await core.handovers.arrived(session);
      return (await (Reflect.apply(control[method], control, parameters) as Promise<Json | undefined>)) ?? null;
    },
    luggage: (asked) => answerLuggage(core, asked),
    yield: (asked, from) => answerYield(core, asked, from),
    stats: () => control.stats(),
  };
}

/** What is given to a session on its way here, or taken from it, would go with what arrives. */
export async function changeMembershipHere(
  { handovers, sessions }: Core,
  control: CoreControl,
  { action, user, channel }: Questions["membership"]["fields"],
): Promise<number> {
  const arrivals = handovers.arrivals(sessions.ofUser(user));
  if (arrivals !== undefined) await arrivals;
  return await control[action](user, channel);
}

/**
 * Whoever asked the store about the user before it had the revocation is listed by then: its answer came before this one's, and what it
 * led to is done at the end of the turn.
 */
async function outpaced(core: Core, user: string): Promise<void> {
  await revocationOf(core, user);
  await core.turn.end();
}
