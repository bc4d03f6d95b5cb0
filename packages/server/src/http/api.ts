/**
 * The HTTP side for backends, orchestrators and browsers: publish and admin API, health, served scripts.
 *
 * One request goes: path and method, key and scope, query, body, operation, answer. Everything that is refused on the way
 * is thrown, and caught here once.
 */
import { personalChannel } from "@longwire/protocol";
import type { z } from "zod";
import { ReplyError } from "../base/failures.ts";
import { receiveBody } from "../base/request-body.ts";
import type { Logger } from "../base/log.ts";
import type { ApiKey } from "../config/api-key.ts";
import type { Control } from "../ports/control.ts";
import { emptyAnswer, failureAnswer, jsonAnswer, methodAnswer, replyErrorOf } from "./answers.ts";
import { type AssetHandler, assetHandlers, type Assets } from "./assets.ts";
import { parseBody } from "./body.ts";
import { channelOperations } from "./channels-api.ts";
import { checked } from "./check.ts";
import { readForm } from "./form.ts";
import { ANYBODY, createGuard, type Grant } from "./guard.ts";
import { type Health, healthOperations } from "./health.ts";
import { describeApi } from "./openapi.ts";
import { operation, type Operation } from "./operation.ts";
import { publishOperations } from "./publish-api.ts";
import { allowOf, Router, splitUrl } from "./router.ts";
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
  /** Told of each request whose key is good, before its body is read. */
  readonly recognised?: ((request: Request) => void) | undefined;
  readonly limits: HttpLimits;
  readonly assets?: Assets | undefined;
  readonly version: string;
}

type Entry = Operation | AssetHandler;

export function createHttp(parts: HttpParts): (request: Request) => Promise<Response> {
  const router = createRouter(parts);
  const guard = createGuard(parts.keys);
  const { bodyBytesMax } = parts.limits;
  // One async function for the whole way: each further one costs a publish about a tenth of a microsecond.
  return async (request) => {
    try {
      const { method, url, headers } = request;
      const { path, query } = splitUrl(url);
      const match = router.match(path);
      if (match === undefined) throw new ReplyError("notFound", path);
      // The server itself leaves out the body of an answer to HEAD.
      const entry = match.methods.get(method === "HEAD" ? "GET" : method);
      if (entry === undefined) return methodAnswer(method, allowOf(match.methods));
      if (typeof entry === "function") return await entry(request, match.parameters);
      const grant = grantOf(entry, guard, headers, match.parameters);
      const call = { parameters: match.parameters, grant, query: readQuery(entry, query), body: undefined as unknown };
      if (entry.scope !== undefined) parts.recognised?.(request);
      if (entry.body !== undefined) {
        const bytes = await receiveBody(request, bodyBytesMax);
        call.body = checkBody(entry, entry.body, parseBody(bytes, headers.get("content-type"), entry.body));
      }
      const value = await entry.run(call);
      if (value instanceof Response) return value;
      return value === undefined ? emptyAnswer() : jsonAnswer(value);
    } catch (error) {
      // Without the query: clients have been seen to put a token or a key there.
      const { path } = splitUrl(request.url);
      return failureAnswer(replyErrorOf(error, parts.log, { method: request.method, path }));
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

function createRouter(parts: HttpParts): Router<Entry> {
  const router = new Router<Entry>();
  for (const operation of allOperations(parts)) router.add(operation.method, operation.path, operation);
  if (parts.assets !== undefined) {
    for (const [path, handler] of assetHandlers(parts.assets)) router.add("GET", path, handler);
  }
  return router;
}

function grantOf(
  { scope, confinable }: Operation,
  guard: (header: string | null) => Grant,
  headers: Headers,
  parameters: Readonly<Record<string, string>>,
): Grant {
  if (scope === undefined) return ANYBODY;
  const grant = guard(headers.get("authorization"));
  grant.requireScope(scope);
  if (grant.confined) requireReach(grant, confinable, parameters);
  return grant;
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

function checkBody({ accept, bodyOptional }: Operation, schema: z.ZodType, value: unknown): unknown {
  if (value === undefined && !bodyOptional) throw new ReplyError("malformed", "the body is empty");
  return accept?.(value) ?? checked(schema, value === undefined ? {} : value);
}
