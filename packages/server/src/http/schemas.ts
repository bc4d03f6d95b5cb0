/** The bodies, queries and answers of the HTTP API: they check what comes in, and OpenAPI shows them. */
import { type Json, LABEL_LENGTH_MAX, type Member } from "@longwire/protocol";
import { z } from "zod";
import type * as control from "../ports/control.ts";

/** Most channels or users in one publish, publications in one batch, entries of one page. */
export const TARGETS_MAX = 10_000;
export const PAGE_MAX = 1000;
const PAGE_DEFAULT = 100;

const label = z.string().min(1).max(LABEL_LENGTH_MAX);
const channel = z
  .string()
  .describe("A channel name: 1 to 200 bytes of UTF-8 without white space, commas and control characters.");
const user = z.string().describe("A user name; obeys the rules of channel names.");
const anyJson = (): z.ZodType<Json> => z.unknown() as z.ZodType<Json>;
// Not z.record, which drops a key named `__proto__` in silence.
const jsonObject = z
  .custom<{ readonly [key: string]: Json }>(
    (value) => typeof value === "object" && value !== null && !Array.isArray(value),
    "the body must be a JSON object",
  )
  .meta({ type: "object" });

const messageFields = {
  data: anyJson().describe("Any JSON value. In a form: JSON if it can be parsed, else a string."),
  encoding: z
    .literal("base64")
    .optional()
    .describe("`data` is a string of base64 (RFC 4648 section 4, padded) that stands for bytes."),
  name: label.optional().describe("What kind of message it is; clients can listen by name."),
};

export const publication = z
  .strictObject({
    channel: channel.optional(),
    channels: z.array(channel).min(1).max(TARGETS_MAX).optional(),
    user: user.optional().describe("Publishes to the user's personal channel `@<user>`."),
    users: z.array(user).min(1).max(TARGETS_MAX).optional(),
    ...messageFields,
    key: label
      .optional()
      .describe("Idempotency key: the same key again on a channel is stored once and answered with the first answer."),
    exclude: label.optional().describe("A session that must not get it."),
    history: z.boolean().optional().describe("`false`: to those connected now, neither numbered nor kept."),
  })
  .superRefine((value, context) => {
    const targets = TARGETS.filter((name) => value[name] !== undefined);
    if (targets.length === 1) return;
    context.addIssue({
      code: "custom",
      message: `name exactly one of ${TARGETS.join(", ")}; found ${targets.join(", ") || "none"}`,
    });
  })
  .meta({ id: "Publication", oneOf: oneRequired("channel", "channels", "user", "users") });

const TARGETS = ["channel", "channels", "user", "users"] as const;

export type PublicationBody = z.infer<typeof publication>;

const publications = z.array(publication).min(1).max(TARGETS_MAX);
/** A batch as it is shown; and as it is taken, since a fault in one publication must not stop the others. */
export const batch = z.strictObject({ publications });
export const looseBatch = z.strictObject({ publications: z.array(z.unknown()).min(1).max(TARGETS_MAX) });

/** Ten years. */
const REVOKE_SECONDS_MAX = 10 * 366 * 86_400;

export const subscription = z.strictObject({ channel });
export const disconnection = z.strictObject({
  reason: z.string().max(LABEL_LENGTH_MAX).optional().describe("Told to the client."),
  reconnect: z.boolean().optional().describe("Whether the client may come back; `false` if absent."),
});
export const userDisconnection = disconnection.extend({
  revokeSeconds: z
    .int()
    .min(1)
    .max(REVOKE_SECONDS_MAX)
    .optional()
    .describe(
      "For how long tokens that were issued before now are refused, wherever they come; those without `iat` count as old.",
    ),
});
export const message = z.strictObject(messageFields).meta({ id: "Message" });
export const binding = z.strictObject({ user: z.string().min(1).nullable().describe("`null` takes the user away.") });
export const sessionData = jsonObject.meta({ type: "object", description: "The application's data of the session." });
export const stateChange = z
  .strictObject({
    set: anyJson().optional().describe("The new value."),
    add: z.number().optional().describe("Added to a number; a missing one is 0."),
    ttlSeconds: z
      .number()
      .positive()
      .max(10 * 366 * 86_400)
      .optional()
      .describe("How long it is kept from now on; absent: for ever."),
    session: label
      .optional()
      .describe("The connected session that the key belongs to: it is removed when the session has ended for good."),
  })
  .superRefine((value, context) => {
    if ((value.set === undefined) === (value.add === undefined))
      context.addIssue({ code: "custom", message: "name exactly one of set, add" });
    if (value.session !== undefined && value.ttlSeconds !== undefined)
      context.addIssue({ code: "custom", path: ["session"], message: "a session's key lives as long as the session" });
  })
  .meta({ id: "StateChange", oneOf: oneRequired("set", "add") });

const limitOf = (most: number): z.ZodExactOptional<z.ZodNumber> => z.number().int().min(1).max(most).exactOptional();
const pageFields = {
  after: z.string().optional().describe("The last name of the page before."),
  limit: limitOf(PAGE_MAX).describe(`Entries of a page; ${PAGE_DEFAULT} if absent.`),
};
export const NO_QUERY = z.strictObject({});
export const page = z.strictObject(pageFields);
export const channelPage = z.strictObject({
  prefix: z.string().optional().describe("Only channels that begin with it."),
  ...pageFields,
});

/** The page that Control is asked for. */
export function pageOf(query: z.infer<typeof page>): control.Page {
  return { after: query.after, limit: query.limit ?? PAGE_DEFAULT };
}

export type HistoryPage = z.ZodType<{ since?: string | undefined; limit?: number; reverse?: boolean | undefined }>;

export function historyPage(limitMax: number): HistoryPage {
  return z.strictObject({
    since: z
      .string()
      .regex(SINCE, "expected `earliest`, `latest` or a position `<epoch>.<offset>`")
      .optional()
      .describe(
        "Publications after this position (before it, with `reverse`): `earliest`, `latest` or `<epoch>.<offset>`.",
      ),
    limit: limitOf(limitMax),
    reverse: z.boolean().optional().describe("From the newest to the oldest."),
  });
}

const SINCE = /^(?:earliest|latest|[A-Za-z0-9_-]{1,64}\.\d{1,15})$/;

/** Reads what `SINCE` has let pass. */
export function sinceOf(since: string | undefined): control.HistoryRequest["since"] {
  if (since === undefined || since === "earliest" || since === "latest") return since;
  const dot = since.indexOf(".");
  return { epoch: since.slice(0, dot), offset: Number(since.slice(dot + 1)) };
}

function oneRequired(...names: readonly string[]): { required: string[] }[] {
  return names.map((name) => ({ required: [name] }));
}

// Answers. `describes` makes the compiler check that a schema says what the port gives.
const describes =
  <View>() =>
  <Schema extends z.ZodType<View>>(schema: Schema): Schema =>
    schema;

const count = z.int().min(0);
const epoch = z.string().describe("Names one life of the channel's numbering.");
const offset = count.describe("Number of the publication in its channel; the first is 1.");

export const failure = z.object({
  code: z.int().describe("From the table of codes; 1xx: final, 2xx: try again later, 3xx: get a new token."),
  message: z.string(),
  path: z.string().exactOptional().describe("Where in the request the fault lies."),
});
export const failureAnswer = z.object({ error: failure }).meta({ id: "Error" });

const published = describes<control.PublishAnswer>()(
  z
    .object({
      channel: z.string(),
      epoch,
      offset: offset.exactOptional(),
      online: z.boolean().describe("Somebody was subscribed."),
      subscribers: count,
      approximate: z
        .literal(true)
        .exactOptional()
        .describe(
          "Other processes have some of the subscribers: counted within the last second, or as one for each of these processes.",
        ),
    })
    .meta({ id: "Published" }),
);
const unpublished = z.object({ channel: z.string().exactOptional(), error: failure }).meta({ id: "Unpublished" });
const publishResult = z.union([published, unpublished]);
export const publishAnswer = z.object({ results: z.array(publishResult) }).meta({ id: "PublishAnswer" });
export const batchAnswer = z
  .object({ results: z.array(z.union([publishResult, publishAnswer])) })
  .meta({ id: "BatchAnswer" });

export const channelView = describes<control.ChannelView>()(
  z
    .object({ channel: z.string(), epoch, offset, kept: count, subscribers: count, users: count })
    .meta({ id: "Channel" }),
);
export const channelsAnswer = z.object({ channels: z.array(channelView), more: z.boolean() });

const member = describes<Member>()(
  z
    .object({
      session: z.string(),
      user: z.string().exactOptional(),
      info: anyJson().exactOptional(),
      data: anyJson().exactOptional(),
    })
    .meta({ id: "Member" }),
);
export const presenceView = describes<control.PresenceView>()(
  z.object({ members: z.array(member), users: count, sessions: count }).meta({ id: "Presence" }),
);
const historyEntry = z
  .object({
    offset,
    data: anyJson(),
    encoding: z.literal("base64").exactOptional().describe("`data` is base64 that stands for bytes."),
    name: z.string().exactOptional(),
    user: z.string().exactOptional(),
    time: z.number().describe("Unix milliseconds."),
  })
  .meta({ id: "HistoryEntry" });
export const historyView = describes<control.HistoryView>()(
  z
    .object({
      channel: z.string(),
      epoch,
      offset: offset.describe("Top of the channel."),
      publications: z.array(historyEntry),
      more: z.boolean(),
    })
    .meta({ id: "History" }),
);

export const sessionView = describes<control.SessionView>()(
  z
    .object({
      session: z.string(),
      user: z.string().exactOptional(),
      client: z.string().exactOptional(),
      protocol: z.string(),
      address: z.string(),
      since: z.number().describe("Unix milliseconds."),
      channels: z.array(z.string()),
      bufferedBytes: count,
    })
    .meta({ id: "Session" }),
);
export const sessionsAnswer = z.object({ sessions: z.array(sessionView), more: z.boolean() });
const userSummary = describes<control.UserSummary>()(z.object({ user: z.string(), sessions: count }));
export const usersAnswer = z.object({ users: z.array(userSummary), more: z.boolean() });
export const userView = describes<control.UserView>()(
  z.object({ user: z.string(), online: z.boolean(), sessions: z.array(sessionView) }).meta({ id: "User" }),
);
export const revocationView = describes<control.RevocationView>()(
  z
    .object({
      user: z.string(),
      revokedAt: count.describe("Tokens issued before are refused; Unix milliseconds."),
      until: count.describe("Unix milliseconds."),
    })
    .meta({ id: "Revocation" }),
);
export const sessionCount = z.object({ sessions: count.describe("How many sessions of the user this reached.") });
export const stateAnswer = z.object({ value: anyJson() }).meta({ id: "State" });
export const statsView = describes<control.StatsView>()(
  z
    .object({
      processes: count.describe("Workers of all nodes that answered."),
      sessions: count,
      users: count.describe("Each once, wherever its sessions are."),
      channels: count.describe("That have subscribers; one with some in several processes counts in each."),
      subscriptions: count,
      publications: count.describe(
        "To such channels, since the start; one that went to several processes counts in each.",
      ),
      deliveries: count.describe("Since the start."),
      uptimeMs: z.number(),
      version: z.string(),
    })
    .meta({ id: "Stats" }),
);
export const alive = z.object({ status: z.literal("ok") });
export const readiness = z.object({ ready: z.boolean(), reason: z.string().exactOptional() }).meta({ id: "Readiness" });
export const openApiDocument = z.looseObject({ openapi: z.literal("3.1.0") });
