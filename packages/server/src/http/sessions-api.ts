/** `/api/sessions/…`: connected clients, one by one. */
import type { Control } from "../ports/control.ts";
import { messageTextOf, textOf, type ValueLimits } from "./check.ts";
import { operation, type Operation } from "./operation.ts";
import * as schemas from "./schemas.ts";

const tag = "sessions";

export function sessionOperations(control: Control, limits: ValueLimits): Operation[] {
  return [...views(control), ...actions(control, limits), ...data(control, limits)];
}

function views(control: Control): Operation[] {
  return [
    operation({
      method: "GET",
      path: "/api/sessions",
      tag,
      id: "listSessions",
      summary: "Connected sessions, in name order",
      scope: "read",
      query: schemas.page,
      answer: schemas.sessionsAnswer,
      run: ({ query }) => control.sessions(schemas.pageOf(query)),
    }),
    operation({
      method: "GET",
      path: "/api/sessions/{session}",
      tag,
      id: "getSession",
      summary: "One session",
      scope: "read",
      answer: schemas.sessionView,
      errors: ["notFound", "unavailable"],
      run: ({ parameters }) => control.session(parameters.session),
    }),
  ];
}

function actions(control: Control, limits: ValueLimits): Operation[] {
  return [
    operation({
      method: "POST",
      path: "/api/sessions/{session}/send",
      tag,
      id: "sendToSession",
      summary: "Speak to one session alone",
      scope: "publish",
      body: schemas.message,
      errors: ["notFound", "tooLarge", "tooDeep", "unavailable"],
      run: ({ parameters, body }) =>
        control.send(parameters.session, {
          data: messageTextOf(body, limits, "data"),
          encoding: body.encoding,
          name: body.name,
        }),
    }),
    operation({
      method: "POST",
      path: "/api/sessions/{session}/disconnect",
      tag,
      id: "disconnectSession",
      summary: "End the session",
      scope: "manage",
      body: schemas.disconnection,
      errors: ["notFound", "unavailable"],
      run: ({ parameters, body }) =>
        control.disconnectSession(parameters.session, { reason: body.reason, reconnect: body.reconnect ?? false }),
    }),
    operation({
      method: "POST",
      path: "/api/sessions/{session}/subscribe",
      tag,
      id: "subscribeSession",
      summary: "Subscribe the session to a channel",
      scope: "manage",
      body: schemas.subscription,
      errors: ["notFound", "badChannel", "limit", "unavailable"],
      run: ({ parameters, body }) => control.subscribeSession(parameters.session, body.channel),
    }),
    operation({
      method: "POST",
      path: "/api/sessions/{session}/unsubscribe",
      tag,
      id: "unsubscribeSession",
      summary: "End a subscription of the session",
      scope: "manage",
      body: schemas.subscription,
      errors: ["notFound", "badChannel", "notSubscribed", "unavailable"],
      run: ({ parameters, body }) => control.unsubscribeSession(parameters.session, body.channel),
    }),
    operation({
      method: "POST",
      path: "/api/sessions/{session}/user",
      tag,
      id: "bindUser",
      summary: "Bind a user to the session, or take the user away",
      scope: "manage",
      body: schemas.binding,
      errors: ["notFound", "unavailable"],
      run: ({ parameters, body }) => control.bindUser(parameters.session, body.user),
    }),
  ];
}

function data(control: Control, limits: ValueLimits): Operation[] {
  return [
    operation({
      method: "GET",
      path: "/api/sessions/{session}/data",
      tag,
      id: "getSessionData",
      summary: "The application's data of the session",
      scope: "read",
      answer: schemas.sessionData,
      errors: ["notFound", "unavailable"],
      run: ({ parameters }) => control.sessionData(parameters.session),
    }),
    operation({
      method: "PUT",
      path: "/api/sessions/{session}/data",
      tag,
      id: "putSessionData",
      summary: "Replace the data of the session",
      scope: "manage",
      body: schemas.sessionData,
      errors: ["notFound", "tooLarge", "tooDeep", "unavailable"],
      run({ parameters, body }) {
        textOf(body, limits);
        return control.putSessionData(parameters.session, body);
      },
    }),
    operation({
      method: "PATCH",
      path: "/api/sessions/{session}/data",
      tag,
      id: "patchSessionData",
      summary: "Merge into the data of the session; `null` removes a key",
      scope: "manage",
      body: schemas.sessionData,
      answer: schemas.sessionData,
      errors: ["notFound", "tooLarge", "tooDeep", "unavailable"],
      run({ parameters, body }) {
        textOf(body, limits);
        return control.patchSessionData(parameters.session, body);
      },
    }),
  ];
}
