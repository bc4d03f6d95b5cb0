import { VERSION } from "../app/version.ts";
import { type Command, EXIT, readArguments, UsageError } from "./command.ts";

export const version: Command = {
  help: `longwire version

Prints the version of Longwire and of the Bun that runs it.`,

  run: async (args, terminal) => {
    if (readArguments(args, {}).words.length > 0) throw new UsageError("version takes nothing");
    terminal.out(`longwire ${VERSION} (bun ${Bun.version})`);
    return EXIT.ok;
  },
};
