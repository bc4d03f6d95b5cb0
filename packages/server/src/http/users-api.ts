/** `/api/users/…`: people, through all their sessions. A user is reached through the personal channel's namespace `@`. */
import type { Control } from "../ports/control.ts";
import { operation, type Operation } from "./operation.ts";
import * as schemas from "./schemas.ts";

const common = { tag: "users", confinable: true } as const;

export function userOperations(control: Control): Operation[] {
  return [
    operation({
      method: "GET",
      path: "/api/users",
      tag: "users",
      id: "listUsers",
      summary: "Connected users, in name order",
      scope: "read",
      query: schemas.page,
      answer: schemas.usersAnswer,
      run: ({ query }) => control.users(schemas.pageOf(query)),
    }),
    operation({
      ...common,
      method: "GET",
      path: "/api/users/{user}",
      id: "getUser",
      summary: "One user and the sessions",
      scope: "read",
      answer: schemas.userView,
      errors: ["badField", "notFound"],
      run: ({ parameters }) => control.user(parameters.user),
    }),
    operation({
      ...common,
      method: "POST",
      path: "/api/users/{user}/disconnect",
      id: "disconnectUser",
      summary: "End all sessions of the user, and if wanted refuse the user's tokens for a while",
      scope: "manage",
      body: schemas.userDisconnection,
      answer: schemas.sessionCount,
      errors: ["unavailable"],
      run: async ({ parameters, body }) => ({
        sessions: await control.disconnectUser(parameters.user, {
          reason: body.reason,
          reconnect: body.reconnect ?? false,
          revokeMs: body.revokeSeconds === undefined ? undefined : body.revokeSeconds * 1000,
        }),
      }),
    }),
    operation({
      ...common,
      method: "GET",
      path: "/api/users/{user}/revocation",
      id: "getUserRevocation",
      summary: "Since when, and until when, the user's tokens are refused",
      scope: "read",
      answer: schemas.revocationView,
      errors: ["notFound"],
      run: ({ parameters }) => control.revocation(parameters.user),
    }),
    operation({
      ...common,
      method: "DELETE",
      path: "/api/users/{user}/revocation",
      id: "liftUserRevocation",
      summary: "Accept the user's tokens again",
      scope: "manage",
      errors: ["notFound"],
      run: ({ parameters }) => control.liftRevocation(parameters.user),
    }),
    membership("subscribe", "Subscribe all sessions of the user to a channel", (user, channel) =>
      control.subscribeUser(user, channel),
    ),
    membership("unsubscribe", "End the subscriptions of the user to a channel", (user, channel) =>
      control.unsubscribeUser(user, channel),
    ),
  ];
}

/** `…/subscribe` and `…/unsubscribe`: the same question, answered by how many sessions changed. */
function membership(
  action: "subscribe" | "unsubscribe",
  summary: string,
  change: (user: string, channel: string) => Promise<number>,
): Operation {
  return operation({
    ...common,
    method: "POST",
    path: `/api/users/{user}/${action}`,
    id: `${action}User`,
    summary,
    scope: "manage",
    body: schemas.subscription,
    answer: schemas.sessionCount,
    errors: ["badChannel", "unavailable"],
    async run({ parameters, body, grant }) {
      grant.requireChannel(body.channel);
      return { sessions: await change(parameters.user, body.channel) };
    },
  });
}
