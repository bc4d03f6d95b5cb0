import { loadConfig, maskSecrets } from "../config/load.ts";
import { jsonSchema, sampleFile } from "../config/reference.ts";
import { nearestOf } from "../config/suggest.ts";
import { type Command, EXIT, type Terminal, UsageError } from "./command.ts";

export const config: Command = {
  help: `longwire config check|print|sample|schema [flags]

  longwire config check                      reads the configuration and lists every fault
  longwire config print                      prints what is in force and where each value comes from; secrets are hidden
  longwire config sample > longwire.toml     prints a file with every option and its default, in comments
  longwire config schema                     prints the JSON Schema of the file, for editors

check and print take the flags of \`longwire serve\`:

  longwire config print --config /etc/longwire.toml --port 9000`,

  run: async (args, terminal) => {
    const [action = "", ...flags] = args;
    const run = ACTIONS.get(action);
    if (run === undefined) {
      const nearest = nearestOf(action, [...ACTIONS.keys()]);
      const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
      throw new UsageError(`config takes one of ${[...ACTIONS.keys()].join(", ")}${hint}`);
    }
    run(flags, terminal);
    return EXIT.ok;
  },
};

const ACTIONS = new Map<string, (flags: readonly string[], terminal: Terminal) => void>([
  ["check", check],
  ["print", print],
  ["sample", (flags, terminal) => withoutFlags(flags, () => terminal.out(sampleFile().trimEnd()))],
  ["schema", (flags, terminal) => withoutFlags(flags, () => terminal.out(JSON.stringify(jsonSchema(), null, 2)))],
]);

function withoutFlags(flags: readonly string[], run: () => void): void {
  if (flags.length > 0) throw new UsageError(`what is ${JSON.stringify(flags[0])}? This takes no flags`);
  run();
}

function check(flags: readonly string[], terminal: Terminal): void {
  const { sources } = loadConfig({ argv: flags, env: terminal.env, cwd: terminal.cwd });
  const changed = [...sources.values()].filter((source) => source !== "default").length;
  terminal.out(
    `the configuration is good: ${changed} of ${sources.size} options are set, the rest have their defaults`,
  );
}

function print(flags: readonly string[], terminal: Terminal): void {
  const loaded = loadConfig({ argv: flags, env: terminal.env, cwd: terminal.cwd });
  const { channels, namespaces, ...server } = maskSecrets(loaded.config);
  const section = (values: object, prefix: string) => {
    for (const [key, value] of Object.entries(values)) {
      const source = loaded.sources.get(`${prefix}${key}`) ?? "default";
      if (value === undefined) terminal.out(`# ${key} is not set`);
      else terminal.out(`${key} = ${tomlValue(value)}  # ${source}`);
    }
  };
  section(server, "");
  terminal.out("\n[channels]");
  section(channels, "channels.");
  for (const [name, options] of Object.entries(namespaces)) {
    const key = /^[\w-]+$/.test(name) ? name : JSON.stringify(name);
    terminal.out(`\n[namespaces.${key}]`);
    section(options, `namespaces.${key}.`);
  }
}

/** What is printed can be read again. JSON's strings, numbers and lists are TOML's; objects stand in lists only. */
function tomlValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlValue).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([key, field]) => `${key} = ${tomlValue(field)}`);
  return `{ ${fields.join(", ")} }`;
}
