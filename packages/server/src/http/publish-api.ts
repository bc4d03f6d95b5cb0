/** `POST /api/publish` and `POST /api/batch`. */
import { personalChannel } from "@longwire/protocol";
import type { Logger } from "../base/log.ts";
import type { Control, PublishAnswer, PublishRequest } from "../ports/control.ts";
import { failureBody, type FailureBody, replyErrorOf } from "./answers.ts";
import { checked, textOf, type ValueLimits } from "./check.ts";
import type { Grant } from "./guard.ts";
import { operation, type Operation } from "./operation.ts";
import * as schemas from "./schemas.ts";

type Unpublished = { readonly channel?: string } & FailureBody;
type Result = PublishAnswer | Unpublished;

interface Parts {
  readonly control: Control;
  readonly log: Logger;
  readonly limits: ValueLimits;
}

export function publishOperations(parts: Parts): Operation[] {
  return [
    operation({
      method: "POST",
      path: "/api/publish",
      tag: "publish",
      id: "publish",
      summary: "Publish to one or several channels or users",
      description:
        "With `channel` or `user`, a failure has its own status. With `channels` or `users` the status is 200 and every target has its own result, in the order named; a target named twice counts once.",
      scope: "publish",
      confinable: true,
      body: schemas.publication,
      answer: schemas.publishAnswer,
      errors: ["badChannel", "tooLarge", "tooDeep", "conflict", "unavailable"],
      async run({ body, grant }) {
        const requests = requestsOf(body, parts.limits, "");
        if (namesSeveral(body))
          return { results: await Promise.all(requests.map((request) => attempt(parts, grant, request))) };
        return { results: await Promise.all(requests.map((request) => publish(parts.control, grant, request))) };
      },
    }),
    operation({
      method: "POST",
      path: "/api/batch",
      tag: "publish",
      id: "publishBatch",
      summary: "Publish many publications",
      description:
        "They are published in order, and answered in order: each with its own success or error, one with `channels` or `users` with `{results}` of its own.",
      scope: "publish",
      confinable: true,
      body: schemas.looseBatch,
      bodyShown: schemas.batch,
      answer: schemas.batchAnswer,
      errors: ["unavailable"],
      async run({ body, grant }) {
        return {
          results: await Promise.all(body.publications.map((item, index) => batchItem(parts, grant, item, index))),
        };
      },
    }),
  ];
}

/** Runs up to the call of Control before it first waits, so that a batch keeps its order and shares a commit. */
function batchItem(parts: Parts, grant: Grant, item: unknown, index: number): Promise<Result | { results: Result[] }> {
  const within = `publications[${index}]`;
  let body: schemas.PublicationBody;
  let requests: PublishRequest[];
  try {
    body = checked(schemas.publication, item, within);
    requests = requestsOf(body, parts.limits, `${within}.`);
  } catch (error) {
    return Promise.resolve(failureBody(replyErrorOf(error, parts.log, { operation: "publishBatch", path: within })));
  }
  const [first] = requests;
  if (first !== undefined && !namesSeveral(body)) return attempt(parts, grant, first);
  return Promise.all(requests.map((request) => attempt(parts, grant, request))).then((results) => ({ results }));
}

function namesSeveral(body: schemas.PublicationBody): boolean {
  return body.channels !== undefined || body.users !== undefined;
}

function requestsOf(body: schemas.PublicationBody, limits: ValueLimits, within: string): PublishRequest[] {
  const { name, key, exclude, history } = body;
  const data = textOf(body.data, limits, `${within}data`);
  return channelsOf(body).map((channel) => ({ channel, data, name, key, exclude, history }));
}

function channelsOf(body: schemas.PublicationBody): string[] {
  if (body.channel !== undefined) return [body.channel];
  if (body.user !== undefined) return [personalChannel(body.user)];
  if (body.channels !== undefined) return [...new Set(body.channels)];
  return [...new Set(body.users)].map(personalChannel);
}

async function publish(control: Control, grant: Grant, request: PublishRequest): Promise<PublishAnswer> {
  grant.requireChannel(request.channel);
  return control.publish(request);
}

/** Publishes; a failure is the answer of this target alone. */
async function attempt(parts: Parts, grant: Grant, request: PublishRequest): Promise<Result> {
  try {
    return await publish(parts.control, grant, request);
  } catch (error) {
    const failure = replyErrorOf(error, parts.log, { operation: "publish", channel: request.channel });
    return { channel: request.channel, ...failureBody(failure) };
  }
}
