/**
 * The HTTP side for backends, orchestrators and browsers: publish and admin API, health, served scripts.
 *
 * One request goes: path and method, key and scope, query, body, operation, answer. Everything that is refused on the way
 * is thrown, and caught here once.
 */
import { personalChannel } from "@longwire/protocol";
import { ReplyError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { ApiKey } from "../config/api-key.ts";
import type { Control } from "../ports/control.ts";
import { emptyAnswer, failureAnswer, jsonAnswer, methodAnswer, replyErrorOf } from "./answers.ts";
import { assetHandlers, type Assets } from "./assets.ts";
import { readBody } from "./body.ts";
import { channelOperations } from "./channels-api.ts";
import { checked } from "./check.ts";
import { readForm } from "./form.ts";
import { ANYBODY, createGuard, type Grant } from "./guard.ts";
import { type Health, healthOperations } from "./health.ts";
import { describeApi } from "./openapi.ts";
import { operation, type Operation } from "./operation.ts";
import { publishOperations } from "./publish-api.ts";
import { allowOf, type Match, Router, splitUrl } from "./router.ts";
import { NO_QUERY, openApiDocument } from "./schemas.ts";
import { sessionOperations } from "./sessions-api.ts";
import { stateOperations } from "./state-api.ts";
import { userOperations } from "./users-api.ts";

export interface HttpLimits {
  readonly bodyBytesMax: number;
  readonly publicationBytesMax: number;
  readonly depthMax: number;
  readonly historyPageMax: number;
}

export interface HttpParts {
  readonly control: Control;
  readonly keys: readonly ApiKey[];
  readonly log: Logger;
  readonly health: Health;
  readonly limits: HttpLimits;
  readonly assets?: Assets | undefined;
  readonly version: string;
}

type Handler = (request: Request, parameters: Readonly<Record<string, string>>, query: string) => Promise<Response>;

export function createHttp(parts: HttpParts): (request: Request) => Promise<Response> {
  const router = createRouter(parts);
  return async (request) => {
    try {
      const { path, query } = splitUrl(request.url);
      const match = router.match(path);
      if (match === undefined) throw new ReplyError("notFound", path);
      return await handlerOf(match, request.method)(request, match.parameters, query);
    } catch (error) {
      return failureAnswer(replyErrorOf(error, parts.log, { method: request.method, url: request.url }));
    }
  };
}

/** Every operation that is served: what the router serves is what OpenAPI shows. */
export function allOperations({ control, log, health, limits, version }: HttpParts): Operation[] {
  let description: object | undefined;
  const operations: Operation[] = [
    ...publishOperations({ control, log, limits }),
    ...channelOperations(control, limits.historyPageMax),
    ...userOperations(control),
    ...sessionOperations(control, limits),
    ...stateOperations(control, limits),
    ...healthOperations(health),
    operation({
      method: "GET",
      path: "/api/openapi.json",
      tag: "description",
      id: "getDescription",
      summary: "This description",
      scope: "read",
      confinable: true,
      answer: openApiDocument,
      run: () => (description ??= describeApi(operations, version)),
    }),
  ];
  return operations;
}

function createRouter(parts: HttpParts): Router<Handler> {
  const router = new Router<Handler>();
  const guard = createGuard(parts.keys);
  for (const operation of allOperations(parts)) {
    router.add(operation.method, operation.path, handle(operation, guard, parts.limits.bodyBytesMax));
  }
  if (parts.assets !== undefined) {
    for (const [path, handler] of assetHandlers(parts.assets)) router.add("GET", path, handler);
  }
  return router;
}

function handlerOf(match: Match<Handler>, method: string): Handler {
  // The server itself leaves out the body of an answer to HEAD.
  const handler = match.methods.get(method === "HEAD" ? "GET" : method);
  return handler ?? (() => Promise.resolve(methodAnswer(method, allowOf(match.methods))));
}

function handle(operation: Operation, guard: (header: string | null) => Grant, bodyBytesMax: number): Handler {
  const { scope, confinable } = operation;
  return async (request, parameters, queryText) => {
    const grant = scope === undefined ? ANYBODY : guard(request.headers.get("authorization"));
    if (scope !== undefined) grant.requireScope(scope);
    if (scope !== undefined && grant.confined) requireReach(grant, confinable, parameters);
    const query = readQuery(operation, queryText);
    const body = operation.body === undefined ? undefined : await readChecked(operation, request, bodyBytesMax);
    const value = await operation.run({ parameters, query, body, grant });
    if (value instanceof Response) return value;
    return value === undefined ? emptyAnswer() : jsonAnswer(value);
  };
}

function requireReach(grant: Grant, confinable: boolean, parameters: Readonly<Record<string, string>>): void {
  if (!confinable) grant.requireUnconfined();
  const { channel, user } = parameters;
  if (channel !== undefined) grant.requireChannel(channel);
  if (user !== undefined) grant.requireChannel(personalChannel(user));
}

function readQuery({ query, scope }: Operation, text: string): unknown {
  if (query !== undefined) return checked(query, readForm(text, query));
  // Health checks get their own query from some load balancers; everywhere else a parameter that does nothing is a mistake.
  if (text !== "" && scope !== undefined) checked(NO_QUERY, readForm(text, NO_QUERY));
  return undefined;
}

async function readChecked({ body, bodyOptional }: Operation, request: Request, bytesMax: number): Promise<unknown> {
  if (body === undefined) return undefined;
  const value = await readBody(request, body, bytesMax);
  if (value === undefined && !bodyOptional) throw new ReplyError("malformed", "the body is empty");
  return checked(body, value === undefined ? {} : value);
}
