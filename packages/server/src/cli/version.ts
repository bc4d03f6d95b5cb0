import manifest from "../../package.json" with { type: "json" };
import { type Command, EXIT, readArguments, UsageError } from "./command.ts";

export const version: Command = {
  help: `longwire version

Prints the version of Longwire and of the Bun that runs it.`,

  run: async (args, terminal) => {
    if (readArguments(args, {}).words.length > 0) throw new UsageError("version takes nothing");
    terminal.out(`longwire ${manifest.version} (bun ${Bun.version})`);
    return EXIT.ok;
  },
};
