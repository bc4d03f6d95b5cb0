#!/usr/bin/env bun
/** `longwire`: picks the command, prints what went wrong as words, ends with the right exit code. */
import { StartupError } from "../base/failures.ts";
import { ConfigError } from "../config/setting.ts";
import { suggestion } from "../config/suggest.ts";
import { type Command, CommandError, EXIT, type ExitCode, type Terminal, UsageError } from "./command.ts";

/** Loaded when asked for: `longwire token` must not wait for the whole server to be read. */
const COMMANDS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ["serve", async () => (await import("./serve.ts")).serve],
  ["reload", async () => (await import("./reload.ts")).reload],
  ["publish", async () => (await import("./publish.ts")).publish],
  ["subscribe", async () => (await import("./subscribe.ts")).subscribe],
  ["token", async () => (await import("./token.ts")).token],
  ["config", async () => (await import("./config.ts")).config],
  ["version", async () => (await import("./version.ts")).version],
]);

const SUMMARIES = `longwire COMMAND [flags]

  serve       run the gateway
  reload      replace the workers of a running server by new ones
  publish     publish to a channel or to a user
  subscribe   print what is published on channels
  token       make a token for a user
  config      check or print the configuration
  version     print the version
  help        this, or the help of a command

\`longwire help COMMAND\` or \`longwire COMMAND --help\` tells more. To begin:

  longwire serve
  longwire publish chat:lobby hello`;

async function run(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const [word, ...rest] = args;
  if (word === undefined) {
    terminal.error(SUMMARIES);
    return EXIT.usage;
  }
  if (word === "--version" || word === "-v") return run(["version"], terminal);
  const wantsHelp = ["help", "--help", "-h"].includes(word);
  const name = wantsHelp ? rest[0] : word;
  if (name === undefined) {
    terminal.out(SUMMARIES);
    return EXIT.ok;
  }
  const load = COMMANDS.get(name);
  if (load === undefined) {
    terminal.error(`longwire: there is no command ${JSON.stringify(name)}${suggestion(name, [...COMMANDS.keys()])}`);
    terminal.error("`longwire help` lists the commands.");
    return EXIT.usage;
  }
  const command = await load();
  if (wantsHelp || asksForHelp(rest)) {
    terminal.out(command.help);
    return EXIT.ok;
  }
  try {
    return await command.run(rest, terminal);
  } catch (error) {
    return printFailure(name, error, terminal);
  }
}

/** `--help` anywhere before `--`. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((argument) => argument === "--help" || argument === "-h");
}

/** Expected failures are sentences without a stack; a bug keeps its stack. */
function printFailure(command: string, error: unknown, terminal: Terminal): ExitCode {
  if (error instanceof UsageError) {
    terminal.error(`longwire ${command}: ${error.message}`);
    terminal.error(`\`longwire ${command} --help\` shows how it is used.`);
    return EXIT.usage;
  }
  if (error instanceof StartupError || error instanceof ConfigError || error instanceof CommandError) {
    terminal.error(`longwire ${command}: ${error.message}`);
    if (error.advice !== undefined) terminal.error(error.advice);
    return EXIT.cannot;
  }
  throw error;
}

/** As a program that SIGPIPE ends: `longwire subscribe chat | head -n 1` is over when `head` is. */
const BROKEN_PIPE_STATUS = 141;

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(BROKEN_PIPE_STATUS);
  // The terminal is gone. A server still has to stop in order.
  if (error.code === "EIO") return;
  throw error;
});

const status = await run(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  out: (line) => void process.stdout.write(`${line}\n`),
  error: (line) => void process.stderr.write(`${line}\n`),
});
// Whatever a finished command left behind (a kept-alive socket, a timer) must not keep the process; what it printed must be out.
await new Promise<void>((resolve) => void process.stdout.write("", () => resolve()));
process.exit(status);
