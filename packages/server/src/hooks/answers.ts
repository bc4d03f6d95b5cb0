/** What a backend may answer, checked: names are names, data are no larger and no deeper than a client's may be. */
import { base64Fault, channelFault, depthOf, type Json, LABEL_LENGTH_MAX, userFault } from "@longwire/protocol";
import { z } from "zod";
import { ReplyError } from "../base/failures.ts";
import type { Allow } from "../ports/authority.ts";
import type { ConnectAnswer, PublishAnswer, PublishQuestion } from "../ports/hooks.ts";
import { Nonsense } from "./asker.ts";
import type { CallAnswer } from "./http-call.ts";

const LIST_MAX = 1000;
const INFO_BYTES_MAX = 4096;
/** Of the words of a refusal, that reach the client. */
const REASON_LENGTH_MAX = 200;
/** Whatever the backend says: an answer that turns out to be wrong is not believed for longer. */
const CACHE_SECONDS_MAX = 3600;

/** An answer, and for how long it may be given again to the same question. */
export interface Answer<T> {
  /** The refusal, or what the answer says. */
  readonly outcome: ReplyError | T;
  readonly cacheMs: number;
}

const patterns = z.array(z.string().max(400)).max(LIST_MAX);

/** `nullish` everywhere: PHP says null where it has nothing. */
const Caching = z.object({ cacheSeconds: z.number().min(0).nullish() });

const Connect = z.object({
  allow: z.union([
    z.literal(true),
    z.strictObject({
      subscribe: patterns.optional(),
      publish: patterns.optional(),
      presence: patterns.optional(),
      history: patterns.optional(),
    }),
  ]),
  user: z
    .union([z.string(), z.int()])
    .transform(String)
    .superRefine((user, context) => issue(context, userFault(user)))
    .nullish(),
  info: z.unknown().optional(),
  channels: z
    .array(z.string().superRefine((channel, context) => issue(context, channelFault(channel))))
    .max(LIST_MAX)
    .nullish(),
  expiresInSeconds: z.number().positive().nullish(),
  data: z.unknown().optional(),
});

const Publish = z.object({
  encoding: z.literal("base64").nullish(),
  name: z.string().min(1).max(LABEL_LENGTH_MAX).nullish(),
});

function issue(context: z.RefinementCtx, message: string | undefined): void {
  if (message !== undefined) context.addIssue({ code: "custom", message });
}

/** `askedAt`: what was revoked while the application was thinking counts against its answer. */
export function readConnect(answer: CallAnswer, depthMax: number, askedAt: number, now: number): Answer<ConnectAnswer> {
  return judge(answer, (fields) => {
    const { allow, user, info, channels, expiresInSeconds, data } = check(Connect, fields);
    requireShallow("info", info, depthMax);
    requireShallow("data", data, depthMax);
    if (Buffer.byteLength(JSON.stringify(info ?? null)) > INFO_BYTES_MAX)
      throw new Nonsense(`\`info\` has more than ${INFO_BYTES_MAX} bytes`);
    return {
      identity: {
        user: user ?? undefined,
        issuedAt: askedAt,
        // Some say "never" with a number so large that its milliseconds are no number any more.
        expiresAt: isNothing(expiresInSeconds)
          ? undefined
          : Math.min(now + expiresInSeconds * 1000, Number.MAX_SAFE_INTEGER),
        channels: channels ?? [],
        info: (info ?? undefined) as Json | undefined,
        allow: allow === true ? undefined : (allow as Allow),
      },
      data: isNothing(data) ? undefined : objectOf(data),
    };
  });
}

export function readSubscribe(answer: CallAnswer): Answer<undefined> {
  return judge(answer, requireTrue);
}

/** Fields that are missing leave what was asked about as it is. */
export function readPublish(answer: CallAnswer, asked: PublishQuestion, depthMax: number): Answer<PublishAnswer> {
  return judge(answer, (fields) => {
    requireTrue(fields);
    const changed = check(Publish, fields);
    const name = Object.hasOwn(fields, "name") ? (changed.name ?? undefined) : asked.name;
    if (!Object.hasOwn(fields, "data")) return { data: asked.data, encoding: asked.encoding, name };
    const data = fields["data"] as Json;
    requireShallow("data", data, depthMax);
    const encoding = changed.encoding ?? undefined;
    const fault = encoding === undefined ? undefined : base64Fault(data);
    if (fault !== undefined) throw new Nonsense(`\`data\`: ${fault}`);
    return { data: JSON.stringify(data), encoding, name };
  });
}

type Fields = Readonly<Record<string, unknown>>;

/** What holds for every answer; `read` reads one that does not say no. */
function judge<T>({ status, text }: CallAnswer, read: (fields: Fields) => T): Answer<T> {
  // A refusal need not be JSON: frameworks answer 403 with a page.
  if (status === 403) return refusal(fieldsOf(text) ?? {});
  if (status !== 200) throw new Nonsense(`status ${status}`);
  const fields = fieldsOf(text);
  if (fields === undefined) throw new Nonsense("the answer is no JSON object");
  if (fields["allow"] === false) return refusal(fields);
  return { outcome: read(fields), cacheMs: cacheMsOf(fields) };
}

function refusal(fields: Fields): Answer<never> {
  const { reason } = fields;
  const words = typeof reason === "string" && reason !== "" ? reason.slice(0, REASON_LENGTH_MAX) : undefined;
  return { outcome: new ReplyError("forbidden", words), cacheMs: cacheMsOf(fields) };
}

function cacheMsOf(fields: Fields): number {
  const { cacheSeconds } = check(Caching, fields);
  return Math.min(cacheSeconds ?? 0, CACHE_SECONDS_MAX) * 1000;
}

function requireTrue(fields: Fields): undefined {
  if (fields["allow"] !== true) throw new Nonsense("`allow` must be true or false");
  return undefined;
}

function fieldsOf(text: string): Fields | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function check<T>(schema: z.ZodType<T>, fields: Fields): T {
  const checked = schema.safeParse(fields);
  if (checked.success) return checked.data;
  const [first] = checked.error.issues;
  throw new Nonsense(`\`${first?.path.join(".") ?? ""}\`: ${first?.message ?? ""}`);
}

function requireShallow(name: string, value: unknown, depthMax: number): void {
  if (depthOf(value, depthMax) > depthMax) throw new Nonsense(`\`${name}\` is nested deeper than ${depthMax}`);
}

function isNothing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** PHP writes an empty object as an empty list. */
function objectOf(value: unknown): { readonly [key: string]: Json } {
  if (Array.isArray(value) && value.length === 0) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Nonsense("`data` is no object");
  return value as { readonly [key: string]: Json };
}
