/** The kind of an entry of `tcpListeners`. */
import { checkFields, fieldsOf, fieldsSchema } from "./fields.ts";
import { channelFault, personalUser } from "@longwire/protocol";
import { flag, integer, type Kind, refuse, text } from "./kinds.ts";

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
  schema: fieldsSchema(FIELDS, REQUIRED),
  check(value, path, report) {
    const fields = fieldsOf(value);
    if (fields === undefined) {
      refuse(report, path, ALLOWED, value);
      return value as TcpListener;
    }
    checkFields(fields, FIELDS, REQUIRED, path, report);
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
