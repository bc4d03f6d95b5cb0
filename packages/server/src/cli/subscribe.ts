import { channelFault, type Position, type Since } from "@longwire/protocol";
import { systemClock } from "../base/clock.ts";
import { type Command, EXIT, readArguments, UsageError } from "./command.ts";
import { Follower } from "./follower.ts";
import { endpoint, serverUrl } from "./target.ts";

export const subscribe: Command = {
  help: `longwire subscribe CHANNEL... [flags]

Prints every message of the channels as a line of JSON, until it is stopped. When the connection is lost it comes back by itself
and goes on where it stopped; what cannot be recovered is said on standard error.

  longwire subscribe chat:lobby
  longwire subscribe chat:lobby news --pretty
  longwire subscribe chat:lobby --since earliest
  longwire subscribe @bob --token "$(longwire token --user bob)"
  longwire subscribe chat:lobby | jq .data

  --since WHERE   earliest, latest, inbox or a position EPOCH.OFFSET; else the namespace's start decides
  --token TOKEN   who you are; else LONGWIRE_TOKEN
  --pretty        lines for a person
  --url URL       the server; else LONGWIRE_URL, else the one that the configuration here starts
  --config FILE   the configuration to take it from`,

  async run(args, terminal) {
    const flags = readArguments(args, {
      since: "text",
      token: "text",
      pretty: "boolean",
      url: "text",
      config: "text",
    });
    const channels = [...new Set(flags.words.flatMap((word) => word.split(",")))];
    if (channels.length === 0) throw new UsageError("subscribe needs a channel");
    for (const channel of channels) {
      const fault = channelFault(channel);
      if (fault !== undefined) throw new UsageError(`${JSON.stringify(channel)}: ${fault}`);
    }
    const follower = new Follower({
      url: endpoint(serverUrl(flags, terminal), "ws", "/ws"),
      channels,
      token: flags.text("token") ?? (terminal.env["LONGWIRE_TOKEN"] || undefined),
      since: sinceOf(flags.text("since")),
      clock: systemClock,
      message: (text, frame) => terminal.out(flags.given("pretty") ? prettyLine(frame) : text),
      notice: (line) => terminal.error(`longwire subscribe: ${line}`),
    });
    await follower.run();
    return EXIT.cannot;
  },
};

function sinceOf(word: string | undefined): Since | undefined {
  if (word === undefined || word === "earliest" || word === "latest" || word === "inbox") return word;
  const [, epoch, digits] = /^([A-Za-z0-9_-]+)\.(\d{1,15})$/.exec(word) ?? [];
  if (epoch === undefined) throw new UsageError(`--since must be earliest, latest, inbox or EPOCH.OFFSET, not ${word}`);
  return { epoch, offset: Number(digits) } satisfies Position;
}

/** `chat:lobby #5 greeting from bob: {"text":"hello"}` */
function prettyLine(frame: { readonly [key: string]: unknown }): string {
  const { channel, offset, name, user, data } = frame;
  const words = [
    typeof channel === "string" ? channel : "(to this session)",
    ...(typeof offset === "number" ? [`#${offset}`] : []),
    ...(typeof name === "string" ? [name] : []),
    ...(typeof user === "string" ? [`from ${user}`] : []),
  ];
  return `${words.join(" ")}: ${typeof data === "string" ? data : JSON.stringify(data)}`;
}
