/** What people read about the options, printed from the table: sample file, docs page, JSON Schema. */
import { CHANNEL_OPTIONS, environmentName, flagName, NAMESPACE_DEFAULTS, optionAt, SERVER_OPTIONS } from "./schema.ts";
import type { Option } from "./option.ts";
import { keyPath } from "./setting.ts";
import { NAMESPACES_ENVIRONMENT, NAMESPACES_FLAG } from "./sources.ts";

type Rows = readonly (readonly [path: readonly string[], option: Option<unknown>])[];

function rows(section: "server" | "channels"): Rows {
  return section === "server"
    ? Object.entries(SERVER_OPTIONS).map(([key, option]) => [[key], option])
    : Object.entries(CHANNEL_OPTIONS).map(([key, option]) => [["channels", key], option]);
}

/** A `longwire.toml` with every option in a comment, at its default. */
export function sampleFile(): string {
  const lines = [
    "# Longwire's configuration: every option with its default. Take the `#` away from what you change.",
    "# An option can also be set by environment variable (LONGWIRE_PORT=9000) or flag (--port 9000), which win over this file.",
    "",
    ...rows("server").flatMap(sampleRow),
    "# Every channel, unless its namespace says otherwise.",
    "[channels]",
    "",
    ...rows("channels").flatMap(sampleRow),
    "# The same options for the channels of one namespace, here `chat:…`.",
    "# [namespaces.chat]",
    "# historySize = 500",
    "",
  ];
  for (const [name, options] of Object.entries(NAMESPACE_DEFAULTS)) {
    lines.push(`# Personal channels have these defaults.`, `# [namespaces.${JSON.stringify(name)}]`);
    for (const [key, value] of Object.entries(options)) lines.push(`# ${key} = ${JSON.stringify(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

function sampleRow([path, option]: Rows[number]): string[] {
  const allowed = `Must be ${option.kind.allowed}.`;
  const absent = option.absent === undefined ? "" : ` Left out: ${option.absent}.`;
  const value = option.fallback === undefined ? exampleOf(option) : JSON.stringify(option.fallback);
  return [`# ${option.doc}`, `# ${allowed}${absent}`, `# ${path.at(-1)} = ${value}`, ""];
}

/** Something of the right type for an option without a default. */
function exampleOf({ kind }: Option<unknown>): string {
  const { enum: words, type } = kind.schema;
  if (Array.isArray(words)) return JSON.stringify(words[0]);
  return type === "boolean" ? "true" : '""';
}

/** docs/configuration.md. */
export function docsPage(): string {
  return `# Configuration

<!-- Printed from packages/server/src/config/schema.ts by \`npm run docs\`; a test fails when this page is stale. -->

Longwire runs without any configuration. What you set comes from four places; a later one wins over an earlier one:

1. the defaults below,
2. a file: \`longwire.toml\`, \`longwire.yaml\`, \`longwire.yml\` or \`longwire.json\` in the working directory, or the one named by
   \`--config FILE\` or \`LONGWIRE_CONFIG\`,
3. environment variables,
4. flags.

Every option has one name in each: \`channels.historySize\` is the key \`historySize\` in the section \`channels\` of the file, the
variable \`LONGWIRE_CHANNELS_HISTORY_SIZE\` and the flag \`--channels-history-size\`. A flag takes its value as the next word or
after \`=\`; those that say true or false are written \`--demo\` and \`--no-demo\`. Lists and objects are JSON in variables and flags; a
list of plain words may also be written \`a,b,c\`. An empty variable is a variable that is not set.

A name that is no option, a value of the wrong type or one out of range stops the start; all faults are listed at once.

\`\`\`
longwire config sample > longwire.toml   # every option with its default, in comments
longwire config check                    # is this configuration good?
longwire config print                    # what is in force, and where each value comes from
\`\`\`

SIGHUP makes a running server read all of it again ([operations.md](operations.md#reload)). What then takes effect only after a restart is marked so.

The units are in the names: \`…Ms\` milliseconds, \`…Seconds\` seconds, \`…Bytes…\` bytes; \`…Max\` is a limit.

## The server

${rows("server").map(docsRow).join("\n")}
## Channels

Options of every channel. The four that say who may do something are safe when they are left out: clients publish only where their
token says so, and strangers read only on a server that nobody but this machine reaches.

${rows("channels").map(docsRow).join("\n")}
## Namespaces

The namespace of a channel is the part of its name before the first \`:\`; the personal channels \`@user\` have the namespace \`@\`. Every
option of \`channels\` can be set for one namespace, where it wins over \`channels\`:

\`\`\`toml
[channels]
historySize = 200

[namespaces.chat]
publish = "signed-in"
historySeconds = 86400

[namespaces."@"]
historySize = 5000
\`\`\`

As a variable or a flag, all namespaces are one JSON object: \`${NAMESPACES_ENVIRONMENT}='{"chat": {"publish": "signed-in"}}'\` or
\`${NAMESPACES_FLAG} '…'\`. It is laid over the file option by option.

Personal channels start with defaults of their own:

${Object.entries(NAMESPACE_DEFAULTS)
  .flatMap(([name, options]) =>
    Object.entries(options).map(
      ([key, value]) => `- \`${keyPath(["namespaces", name, key])}\` = \`${JSON.stringify(value)}\``,
    ),
  )
  .join("\n")}
`;
}

function docsRow([path, option]: Rows[number]): string {
  const fallback = option.fallback === undefined ? `none (${option.absent})` : `\`${JSON.stringify(option.fallback)}\``;
  const facts = [
    `- must be ${option.kind.allowed}`,
    `- default: ${fallback}`,
    `- \`${environmentName(path)}\`, \`${flagName(path)}\``,
    ...(option.secret ? ["- secret: never printed"] : []),
    ...(option.reloadable ? [] : ["- a new value takes a restart"]),
  ];
  return `### \`${keyPath(path)}\`\n\n${option.doc}\n\n${facts.join("\n")}\n`;
}

/** JSON Schema of the file, for editors. */
export function jsonSchema(): Readonly<Record<string, unknown>> {
  const channelProperties = properties(["channels"], Object.keys(CHANNEL_OPTIONS));
  const section = { type: "object", properties: channelProperties, additionalProperties: false };
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Longwire configuration",
    type: "object",
    properties: {
      $schema: { type: "string" },
      ...properties([], Object.keys(SERVER_OPTIONS)),
      channels: section,
      namespaces: { type: "object", additionalProperties: section },
    },
    additionalProperties: false,
  };
}

function properties(section: readonly string[], keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key) => [key, propertyOf(optionAt([...section, key]))]));
}

function propertyOf(option: Option<unknown> | undefined): unknown {
  if (option === undefined) return {};
  const { kind, doc, fallback } = option;
  return { ...kind.schema, description: doc, ...(fallback === undefined ? undefined : { default: fallback }) };
}
