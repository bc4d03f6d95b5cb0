import { channelFault, userFault } from "@longwire/protocol";
import {
  type Arguments,
  type Command,
  CommandError,
  EXIT,
  readArguments,
  type Terminal,
  UsageError,
} from "./command.ts";
import { apiKeyOf, endpoint, serverUrl } from "./target.ts";

const TIMEOUT_MS = 30_000;

export const publish: Command = {
  help: `longwire publish CHANNEL DATA [flags]
longwire publish --user USER DATA [flags]

Publishes by the HTTP API and prints the server's answer, a line of JSON. DATA is JSON, or text where it is none.

  longwire publish chat:lobby hello
  longwire publish chat:lobby '{"text": "hello"}' --name greeting
  longwire publish --user bob 'your order is ready' --key order-1234
  longwire publish news hello --url https://push.example.com --api-key ...
  longwire publish device:7 "$(base64 -w0 firmware.bin)" --encoding base64

  --user USER     to the personal channel of this user, in place of CHANNEL
  --name NAME     name of the event
  --encoding base64
                  DATA is base64 that stands for bytes
  --key KEY       idempotency key: the same publish again is stored once
  --url URL       the server; else LONGWIRE_URL, else the one that the configuration here starts
  --api-key KEY   else the configured one, else the one that the server made in its data folder
  --config FILE   the configuration to take both from`,

  async run(args, terminal) {
    const flags = readArguments(args, {
      user: "text",
      name: "text",
      encoding: "text",
      key: "text",
      url: "text",
      "api-key": "text",
      config: "text",
    });
    const body = bodyOf(flags);
    const answer = await post(endpoint(serverUrl(flags, terminal), "http", "/api/publish"), body, flags, terminal);
    const results = (answer as { results?: readonly unknown[] } | null)?.results;
    const [result] = results ?? [];
    if (result === undefined) throw new CommandError("the answer is none of a Longwire server", "Is --url right?");
    const { error } = result as { error?: { message?: string } };
    if (error !== undefined) throw new CommandError(`the server refused: ${error.message ?? JSON.stringify(error)}`);
    terminal.out(JSON.stringify(result));
    return EXIT.ok;
  },
};

function bodyOf(flags: Arguments): Readonly<Record<string, unknown>> {
  const user = flags.text("user");
  const wanted = user === undefined ? "CHANNEL and DATA" : "DATA alone beside --user";
  if (flags.words.length !== (user === undefined ? 2 : 1)) {
    throw new UsageError(`publish takes ${wanted}; put DATA with spaces in quotes`);
  }
  const encoding = flags.text("encoding");
  const word = flags.words.at(-1) ?? "";
  const data = encoding === undefined ? dataOf(word) : word;
  const channel = flags.words[0] ?? "";
  const fault = user === undefined ? channelFault(channel) : userFault(user);
  if (fault !== undefined) throw new UsageError(fault);
  const target = user === undefined ? { channel } : { user };
  return { ...target, data, encoding, name: flags.text("name"), key: flags.text("key") };
}

function dataOf(word: string): unknown {
  try {
    return JSON.parse(word);
  } catch {
    return word;
  }
}

async function post(url: URL, body: unknown, flags: Arguments, terminal: Terminal): Promise<unknown> {
  const key = apiKeyOf(flags, terminal);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await response.text();
  } catch (error) {
    throw new CommandError(`cannot reach ${url.origin}: ${(error as Error).message}`, "Is the server running there?");
  }
  const answer = jsonOrUndefined(text);
  if (response.ok) return answer;
  const { error } = (answer ?? {}) as { error?: { message?: string } };
  const advice = response.status === 401 ? "Name the API key with --api-key or LONGWIRE_API_KEY." : undefined;
  throw new CommandError(`the server refused (${response.status}): ${error?.message ?? text.slice(0, 200)}`, advice);
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
