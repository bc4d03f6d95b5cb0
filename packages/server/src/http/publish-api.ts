/** `POST /api/publish` and `POST /api/batch`. */
import { LABEL_LENGTH_MAX, personalChannel } from "@longwire/protocol";
import type { Logger } from "../base/log.ts";
import type { Control, PublishAnswer, PublishRequest } from "../ports/control.ts";
import { failureBody, type FailureBody, replyErrorOf } from "./answers.ts";
import { checked, messageTextOf, type ValueLimits } from "./check.ts";
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
  const { control } = parts;
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
      accept: plainPublication,
      answer: schemas.publishAnswer,
      errors: ["badChannel", "tooLarge", "tooDeep", "conflict", "unavailable"],
      run({ body, grant }) {
        const data = messageTextOf(body, parts.limits, "data");
        const channel = singleTarget(body);
        if (channel === undefined) return attemptAll(parts, grant, body, data);
        grant.requireChannel(channel);
        return control.publish(requestOf(body, channel, data)).then((result) => ({ results: [result] }));
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

/**
 * A publication with one target, checked by hand: the schema takes five times as long, which a batch feels. It must never let pass
 * what the schema refuses; whatever is not plainly good is left to it.
 */
export function plainPublication(value: unknown): schemas.PublicationBody | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const body = value as Record<string, unknown>;
  for (const name in body) {
    const field = body[name];
    switch (name) {
      case "data":
        break;
      case "channel":
      case "user":
        if (typeof field !== "string") return undefined;
        break;
      case "name":
      case "key":
      case "exclude":
        if (typeof field !== "string" || field.length === 0 || field.length > LABEL_LENGTH_MAX) return undefined;
        break;
      case "encoding":
        if (field !== "base64") return undefined;
        break;
      case "history":
        if (typeof field !== "boolean") return undefined;
        break;
      default:
        return undefined;
    }
  }
  if (body["data"] === undefined) return undefined;
  return (body["channel"] === undefined) === (body["user"] === undefined)
    ? undefined
    : (value as schemas.PublicationBody);
}

/** Runs up to the call of Control before it first waits, so that a batch keeps its order and shares a commit. */
function batchItem(parts: Parts, grant: Grant, item: unknown, index: number): Promise<Result | { results: Result[] }> {
  const within = `publications[${index}]`;
  let body: schemas.PublicationBody;
  let data: string;
  try {
    body = plainPublication(item) ?? checked(schemas.publication, item, within);
    data = messageTextOf(body, parts.limits, `${within}.data`);
  } catch (error) {
    return Promise.resolve(failureBody(replyErrorOf(error, parts.log, { operation: "publishBatch", path: within })));
  }
  const channel = singleTarget(body);
  return channel === undefined
    ? attemptAll(parts, grant, body, data)
    : attempt(parts, grant, requestOf(body, channel, data));
}

/** The channel of a publication that names one, not a list. */
function singleTarget(body: schemas.PublicationBody): string | undefined {
  return body.user === undefined ? body.channel : personalChannel(body.user);
}

async function attemptAll(
  parts: Parts,
  grant: Grant,
  body: schemas.PublicationBody,
  data: string,
): Promise<{ results: Result[] }> {
  const channels = body.channels ?? (body.users ?? []).map(personalChannel);
  const requests = [...new Set(channels)].map((channel) => requestOf(body, channel, data));
  return { results: await Promise.all(requests.map((request) => attempt(parts, grant, request))) };
}

function requestOf(body: schemas.PublicationBody, channel: string, data: string): PublishRequest {
  const { encoding, name, key, exclude, history } = body;
  return { channel, data, encoding, name, key, exclude, history };
}

/** Publishes; a failure is the answer of this target alone. */
async function attempt(parts: Parts, grant: Grant, request: PublishRequest): Promise<Result> {
  try {
    grant.requireChannel(request.channel);
    return await parts.control.publish(request);
  } catch (error) {
    const failure = replyErrorOf(error, parts.log, { operation: "publish", channel: request.channel });
    return { channel: request.channel, ...failureBody(failure) };
  }
}
