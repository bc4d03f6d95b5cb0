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
      summary: "End all sessions of the user",
      scope: "manage",
      body: schemas.disconnection,
      answer: schemas.sessionCount,
      run: async ({ parameters, body }) => ({
        sessions: await control.disconnectUser(parameters.user, {
          reason: body.reason,
          reconnect: body.reconnect ?? false,
        }),
      }),
    }),
    operation({
      ...common,
      method: "POST",
      path: "/api/users/{user}/subscribe",
      id: "subscribeUser",
      summary: "Subscribe all sessions of the user to a channel",
      scope: "manage",
      body: schemas.subscription,
      answer: schemas.sessionCount,
      errors: ["badChannel"],
      async run({ parameters, body, grant }) {
        grant.requireChannel(body.channel);
        return { sessions: await control.subscribeUser(parameters.user, body.channel) };
      },
    }),
    operation({
      ...common,
      method: "POST",
      path: "/api/users/{user}/unsubscribe",
      id: "unsubscribeUser",
      summary: "End the subscriptions of the user to a channel",
      scope: "manage",
      body: schemas.subscription,
      answer: schemas.sessionCount,
      errors: ["badChannel"],
      async run({ parameters, body, grant }) {
        grant.requireChannel(body.channel);
        return { sessions: await control.unsubscribeUser(parameters.user, body.channel) };
      },
    }),
  ];
}
