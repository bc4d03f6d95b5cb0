import { channelFault, userFault } from "@longwire/protocol";
import { SignJWT } from "jose";
import {
  type Command,
  CommandError,
  EXIT,
  readArguments,
  type Terminal,
  type Arguments,
  UsageError,
} from "./command.ts";
import type { Config } from "../config/schema.ts";
import { configOf } from "./target.ts";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

export const token: Command = {
  help: `longwire token --user USER [flags]

Prints a token (JWT) signed with the configured tokenSecret, or with the first secret of tokenKeys: what your backend gives to its pages,
made by hand for trying out.

  longwire token --user bob
  longwire token --user bob --expires 7d --channels news,chat:lobby
  longwire token --user bob --allow-subscribe 'chat:*' --allow-publish chat:lobby --info '{"name": "Bob"}'
  longwire subscribe chat:lobby --token "$(longwire token --user bob)"

  --user USER            who it is for
  --expires TIME         how long it is good: 90s, 15m, 1h, 7d or never (1h)
  --channels LIST        channels that the server subscribes by itself
  --info JSON            what others see in presence
  --allow-subscribe LIST patterns of channels, * stands for anything; also --allow-publish, --allow-presence, --allow-history.
                         A token with any of them is bound to them.
  --secret SECRET        in place of the configured tokenSecret
  --config FILE          the configuration to take it from`,

  async run(args, terminal) {
    const flags = readArguments(args, {
      user: "text",
      expires: "text",
      channels: "text",
      info: "text",
      ...Object.fromEntries(ACTIONS.map((action) => [`allow-${action}`, "text" as const])),
      secret: "text",
      config: "text",
    });
    if (flags.words.length > 0)
      throw new UsageError(`what is ${JSON.stringify(flags.words[0])}? token takes flags only`);
    const claims = claimsOf(flags);
    const { config, algorithm: alg, kid, secret } = signerOf(flags, terminal);
    const header = { alg, ...(kid !== undefined && { kid }), typ: "JWT" };
    const jwt = new SignJWT(claims).setProtectedHeader(header).setIssuedAt();
    if (config?.tokenAudience !== undefined) jwt.setAudience(config.tokenAudience);
    if (config?.tokenIssuer !== undefined) jwt.setIssuer(config.tokenIssuer);
    const seconds = expirySeconds(flags.text("expires") ?? "1h");
    if (seconds !== undefined) jwt.setExpirationTime(`${seconds} seconds`);
    terminal.out(await jwt.sign(new TextEncoder().encode(secret)));
    return EXIT.ok;
  },
};

const ACTIONS = ["subscribe", "publish", "presence", "history"] as const;

function claimsOf(flags: Arguments): Record<string, unknown> {
  const user = flags.text("user");
  if (user === undefined) throw new UsageError("token needs --user");
  const fault = userFault(user);
  if (fault !== undefined) throw new UsageError(fault);
  const claims: Record<string, unknown> = { sub: user };
  const channels = listOf(flags, "channels");
  for (const channel of channels ?? []) {
    const channelProblem = channelFault(channel);
    if (channelProblem !== undefined) throw new UsageError(`--channels: ${channelProblem}`);
  }
  if (channels !== undefined) claims["channels"] = channels;
  const info = flags.text("info");
  if (info !== undefined) claims["info"] = jsonOf(info);
  const allow = ACTIONS.flatMap((action) => {
    const patterns = listOf(flags, `allow-${action}`);
    return patterns === undefined ? [] : [[action, patterns] as const];
  });
  if (allow.length > 0) claims["allow"] = Object.fromEntries(allow);
  return claims;
}

function listOf(flags: Arguments, flag: string): string[] | undefined {
  return flags
    .text(flag)
    ?.split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--info is no JSON: ${(error as Error).message}`);
  }
}

function expirySeconds(word: string): number | undefined {
  if (word === "never") return undefined;
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(word) ?? [];
  const seconds = SECONDS[unit];
  if (seconds === undefined) throw new UsageError(`--expires must look like 90s, 15m, 1h, 7d or never, not ${word}`);
  return Number(count) * seconds;
}

interface Signer {
  /** Undefined where the secret came by flag: then nothing is read. */
  readonly config: Config | undefined;
  readonly algorithm: string;
  readonly kid: string | undefined;
  readonly secret: string;
}

function signerOf(flags: Arguments, terminal: Terminal): Signer {
  const given = flags.text("secret");
  if (given !== undefined) return { config: undefined, algorithm: "HS256", kid: undefined, secret: given };
  const config = configOf(flags, terminal);
  const { tokenSecret, tokenKeys } = config;
  if (tokenSecret !== undefined) return { config, algorithm: "HS256", kid: undefined, secret: tokenSecret };
  for (const { algorithm, kid, secret } of tokenKeys) {
    if (secret !== undefined) return { config, algorithm, kid, secret };
  }
  throw new CommandError(
    "there is no tokenSecret to sign with",
    "Configure one (LONGWIRE_TOKEN_SECRET, for the server too), or name it with --secret.",
  );
}
