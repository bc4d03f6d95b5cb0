/** Reads the configuration: defaults <- file <- environment <- flags. */
import { channelFault, PERSONAL_NAMESPACE } from "@longwire/protocol";
import { readConfigFile } from "./file.ts";
import {
  type Config,
  NAMESPACE_DEFAULTS,
  type NamespaceOptions,
  namedPaths,
  optionAt,
  SERVER_OPTIONS,
} from "./schema.ts";
import type { Option } from "./option.ts";
import { ConfigError, type Fault, keyPath, type Setting } from "./setting.ts";
import { CONFIG_FLAG, type Environment, environmentSettings, fileSettings, flagSettings } from "./sources.ts";
import { crossFaults } from "./rules.ts";

export interface Origins {
  /** Flags only: the command's own words are taken off before. */
  readonly argv: readonly string[];
  readonly env: Environment;
  readonly cwd: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** Key path -> where its value comes from (`default`, `longwire.toml line 3`, `LONGWIRE_PORT`, `--port`). */
  readonly sources: ReadonlyMap<string, string>;
}

export const DEFAULT_SOURCE = "default";

/** Throws `ConfigError` with every fault of every source. */
export function loadConfig({ argv, env, cwd }: Origins): LoadedConfig {
  const faults: Fault[] = [];
  const report = (fault: Fault) => void faults.push(fault);
  const flags = flagSettings(argv, report);
  const fileName = flags.file ?? env["LONGWIRE_CONFIG"];
  const named =
    fileName === undefined || fileName === ""
      ? undefined
      : { file: fileName, source: flags.file === undefined ? "LONGWIRE_CONFIG" : CONFIG_FLAG };
  const file = readConfigFile(cwd, named, report);
  const settings = [
    ...defaultSettings(),
    ...(file === undefined ? [] : fileSettings(file, report)),
    ...environmentSettings(env, report),
    ...flags.settings,
  ];
  const chosen = new Map<string, Setting>();
  for (const setting of settings) {
    checkSetting(setting, report);
    chosen.set(keyPath(setting.path), setting);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  const config = build([...chosen.values()]);
  const sources = new Map([...chosen].map(([path, setting]) => [path, setting.source]));
  faults.push(...crossFaults(config, (path) => sources.get(path) ?? DEFAULT_SOURCE));
  if (faults.length > 0) throw new ConfigError(faults);
  return { config, sources };
}

/** The configuration of a server that nobody configured. */
export function defaultConfig(): Config {
  return build(defaultSettings());
}

/** The same configuration with every secret replaced by a mask. */
export function maskSecrets(config: Config): Config {
  const copy: Record<string, unknown> = { ...config };
  for (const [key, option] of Object.entries(SERVER_OPTIONS)) {
    copy[key] = masked(copy[key], option);
  }
  return copy as unknown as Config;
}

function masked(value: unknown, option: Option<unknown>): unknown {
  return value === undefined || option.kind.mask === undefined ? value : option.kind.mask(value);
}

function defaultSettings(): Setting[] {
  const settings: Setting[] = namedPaths().map((path) => ({
    path,
    value: optionAt(path)?.fallback,
    source: DEFAULT_SOURCE,
  }));
  for (const [name, options] of Object.entries(NAMESPACE_DEFAULTS)) {
    for (const [key, value] of Object.entries(options)) {
      settings.push({ path: ["namespaces", name, key], value, source: DEFAULT_SOURCE });
    }
  }
  return settings;
}

function checkSetting({ path, value, source }: Setting, report: (fault: Fault) => void): void {
  if (source === DEFAULT_SOURCE) return;
  const [section, name = ""] = path;
  const nameFault = section === "namespaces" ? namespaceFault(name) : undefined;
  if (nameFault !== undefined) {
    report({ path: keyPath(["namespaces", name]), source, message: nameFault });
    return;
  }
  optionAt(path)?.kind.check(value, path, (at, message) => report({ path: keyPath(at), source, message }));
}

function namespaceFault(name: string): string | undefined {
  if (name === PERSONAL_NAMESPACE) return undefined;
  if (name === "") return "names no namespace; the options of channels without one stand under `channels`";
  if (name.includes(":")) return "is no namespace: it is what stands before the `:` of a channel name, without it";
  if (name.startsWith("@")) return "is no namespace: all personal channels share the namespace `@`";
  const fault = channelFault(`${name}:x`);
  return fault === undefined ? undefined : `is no namespace: ${fault}`;
}

function build(settings: readonly Setting[]): Config {
  const root: Record<string, unknown> = {};
  const channels: Record<string, unknown> = {};
  const namespaces = Object.create(null) as Record<string, Record<string, unknown>>;
  for (const { path, value } of settings) {
    const [first = "", second = "", third = ""] = path;
    if (first === "channels") channels[second] = value;
    else if (first === "namespaces") (namespaces[second] ??= {})[third] = value;
    else root[first] = value;
  }
  const config: unknown = { ...root, channels, namespaces: namespaces as Record<string, NamespaceOptions> };
  return deepFreeze(config) as Config;
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const child of Object.values(value)) deepFreeze(child);
  return Object.freeze(value);
}
