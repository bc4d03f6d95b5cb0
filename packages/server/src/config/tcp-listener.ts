/** The kind of an entry of `tcpListeners`. */
import { channelFault, personalUser } from "@longwire/protocol";
import { flag, integer, type Kind, refuse, text } from "./kinds.ts";
import { suggestion } from "./suggest.ts";

export const FRAMINGS = ["json", "text", "frame"] as const;
export type FramingName = (typeof FRAMINGS)[number];

export interface TcpListener {
  readonly port: number;
  /** One of `FRAMINGS`, or the path of a module. */
  readonly framing: string;
  /** Where the messages of its clients go and come from; a `json` listener has none, its clients name channels. */
  readonly channel?: string;
  readonly host?: string;
  /** Left out: as `tcpTls` says. */
  readonly tls?: boolean;
}

const ALLOWED = "an object {port, framing, channel?, host?, tls?}";

const framing: Kind<string> = {
  ...text,
  allowed: `${FRAMINGS.join(", ")} or the path of a module such as ./my-framing.ts`,
  check(value, path, report) {
    const good = typeof value === "string" && (isFramingName(value) || /[/\\]|\.[cm]?[jt]s$/.test(value));
    if (!good) refuse(report, path, framing.allowed, value);
    return value as string;
  },
};

const channel: Kind<string> = {
  ...text,
  allowed: "the name of a channel",
  check(value, path, report) {
    if (typeof value !== "string") refuse(report, path, channel.allowed, value);
    else {
      const fault = personalUser(value) === undefined ? channelFault(value) : "nobody is signed in on such a port";
      if (fault !== undefined) report(path, `must be ${channel.allowed}: ${fault}`);
    }
    return value as string;
  },
};

const FIELDS = { port: integer(0, 65_535), framing, channel, host: text, tls: flag } as const;

const REQUIRED: readonly string[] = ["port", "framing"];

export const tcpListener: Kind<TcpListener> = {
  allowed: ALLOWED,
  schema: {
    type: "object",
    properties: Object.fromEntries(Object.entries(FIELDS).map(([name, kind]) => [name, kind.schema])),
    required: REQUIRED,
    additionalProperties: false,
  },
  check(value, path, report) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      refuse(report, path, ALLOWED, value);
      return value as TcpListener;
    }
    const fields = value as Readonly<Record<string, unknown>>;
    for (const key of Object.keys(fields)) {
      if (!Object.hasOwn(FIELDS, key)) {
        report([...path, key], `there is no such field${suggestion(key, Object.keys(FIELDS))}`);
      }
    }
    for (const [key, kind] of Object.entries(FIELDS)) {
      const field = fields[key];
      if (field !== undefined) kind.check(field, [...path, key], report);
      else if (REQUIRED.includes(key)) report([...path, key], `is missing; must be ${kind.allowed}`);
    }
    const hasChannel = fields["channel"] !== undefined;
    if (fields["framing"] === "json" && hasChannel) {
      report([...path, "channel"], "has no place here: clients of a json listener name their channels themselves");
    }
    if (fields["framing"] !== undefined && fields["framing"] !== "json" && !hasChannel) {
      report(
        [...path, "channel"],
        `is missing; must be ${channel.allowed}, to which its clients are subscribed and publish`,
      );
    }
    return value as TcpListener;
  },
  fromText: (word) => word,
};

export function isFramingName(word: string): word is FramingName {
  return (FRAMINGS as readonly string[]).includes(word);
}
