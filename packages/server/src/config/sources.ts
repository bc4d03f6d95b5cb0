/** Turns the three outside sources into settings. Names are checked here, values in load.ts. */
import type { ConfigFile } from "./file.ts";
import { flag, fromJson } from "./kinds.ts";
import { CHANNEL_OPTIONS, environmentName, flagName, namedPaths, optionAt, SERVER_OPTIONS } from "./schema.ts";
import { type Fault, keyPath, type Setting } from "./setting.ts";
import { suggestion } from "./suggest.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

type ReportFault = (fault: Fault) => void;

/** Names that begin like an option's and are none. */
export const OTHER_ENVIRONMENT_NAMES: readonly string[] = [
  // Where the configuration file is.
  "LONGWIRE_CONFIG",
  // Read by `longwire publish` and `longwire subscribe`.
  "LONGWIRE_URL",
  "LONGWIRE_TOKEN",
  // Set by the supervisor for its workers.
  "LONGWIRE_WORKER",
  // Read by the slow tests, whose servers inherit them.
  "LONGWIRE_SLOW",
  "LONGWIRE_SEED",
];

/**
 * Variables that Kubernetes and old Docker links set for services called `longwire` and `longwire-tcp`, LONGWIRE_PORT=tcp://10.0.0.7:80 among them.
 * They are no options, and a gateway that would not start because of its own service's name would be hard to understand.
 */
function isServiceLink(name: string, value: string): boolean {
  if (/^LONGWIRE_(TCP_)?(SERVICE_(HOST|PORT)(_|$)|PORT_\d+_(TCP|UDP|SCTP)(_|$))/.test(name)) return true;
  return /^LONGWIRE_(TCP_)?PORT$/.test(name) && /^(tcp|udp|sctp):\/\//.test(value);
}

export function environmentSettings(env: Environment, report: ReportFault): Setting[] {
  const options = new Map(namedPaths().map((path) => [environmentName(path), path]));
  const settings: Setting[] = [];
  for (const [name, value] of Object.entries(env)) {
    // Compose files and unit files pass empty variables for what is not set.
    if (!name.startsWith("LONGWIRE_") || value === undefined || value === "") continue;
    if (OTHER_ENVIRONMENT_NAMES.includes(name) || isServiceLink(name, value)) continue;
    const path = options.get(name);
    if (path !== undefined) {
      settings.push({ path, value: optionAt(path)?.kind.fromText(value), source: name });
    } else if (name === NAMESPACES_ENVIRONMENT) {
      settings.push(...namespaceSettings(fromJson(value), () => name, report));
    } else {
      const known = [...options.keys(), NAMESPACES_ENVIRONMENT, "LONGWIRE_CONFIG"];
      report({ path: name, source: name, message: `there is no such option${suggestion(name, known, "LONGWIRE_")}` });
    }
  }
  return settings;
}

export const NAMESPACES_ENVIRONMENT = environmentName(["namespaces"]);
export const NAMESPACES_FLAG = flagName(["namespaces"]);
export const CONFIG_FLAG = "--config";

export interface Flags {
  readonly settings: readonly Setting[];
  /** The value of `--config`. */
  readonly file: string | undefined;
}

export function flagSettings(argv: readonly string[], report: ReportFault): Flags {
  const options = new Map(namedPaths().map((path) => [flagName(path), path]));
  const known = [...options.keys(), NAMESPACES_FLAG, CONFIG_FLAG];
  const settings: Setting[] = [];
  let file: string | undefined;
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? "";
    const [name = "", ...rest] = argument.split("=");
    const negated = name.startsWith("--no-") ? options.get(`--${name.slice("--no-".length)}`) : undefined;
    const path = options.get(name);
    const given = rest.length > 0 ? rest.join("=") : undefined;
    const takesValue = name === CONFIG_FLAG || name === NAMESPACES_FLAG || path !== undefined;
    if (negated !== undefined && optionAt(negated)?.kind === flag && given === undefined) {
      settings.push({ path: negated, value: false, source: name });
    } else if (path !== undefined && optionAt(path)?.kind === flag) {
      settings.push({ path, value: given === undefined ? true : flag.fromText(given), source: name });
    } else if (!takesValue) {
      const message = argument.startsWith("-")
        ? `there is no such flag${suggestion(name, known, "--")}`
        : "this word belongs to no flag";
      report({ path: argument.startsWith("-") ? name : argument, source: "", message });
      // What follows an unknown flag was meant as its value.
      if (argument.startsWith("-") && given === undefined && argv[index + 1]?.startsWith("-") === false) index++;
    } else {
      const next = given ?? argv[index + 1];
      if (given === undefined) index++;
      if (next === undefined || next === "" || (given === undefined && next.startsWith("--"))) {
        report({ path: name, source: "", message: "needs a value" });
        if (next?.startsWith("--") === true) index--;
      } else if (name === CONFIG_FLAG) file = next;
      else if (path !== undefined) settings.push({ path, value: optionAt(path)?.kind.fromText(next), source: name });
      else settings.push(...namespaceSettings(fromJson(next), () => name, report));
    }
  }
  return { settings, file };
}

export function fileSettings(file: ConfigFile, report: ReportFault): Setting[] {
  const settings: Setting[] = [];
  for (const [key, value] of Object.entries(file.tree)) {
    // Editors find the JSON Schema by it.
    if (key === "$schema") continue;
    if (key === "channels") settings.push(...channelSettings([key], value, file.place, report));
    else if (key === "namespaces") settings.push(...namespaceSettings(value, file.place, report));
    else if (optionAt([key]) !== undefined) settings.push({ path: [key], value, source: file.place([key]) });
    else {
      const known = [...namedPaths().map(keyPath), "namespaces", "channels"];
      report({
        path: keyPath([key]),
        source: file.place([key]),
        message: `there is no such option${suggestion(key, known)}`,
      });
    }
  }
  return settings;
}

type Place = (path: readonly string[]) => string;

function namespaceSettings(tree: unknown, place: Place, report: ReportFault): Setting[] {
  if (!isTree(tree)) {
    const message = "must hold options by namespace, such as {chat: {historySize: 50}}";
    report({ path: "namespaces", source: place(["namespaces"]), message });
    return [];
  }
  return Object.entries(tree).flatMap(([name, options]) =>
    channelSettings(["namespaces", name], options, place, report),
  );
}

function channelSettings(path: readonly string[], tree: unknown, place: Place, report: ReportFault): Setting[] {
  if (!isTree(tree)) {
    report({ path: keyPath(path), source: place(path), message: "must hold options of channels by name" });
    return [];
  }
  const settings: Setting[] = [];
  for (const [key, value] of Object.entries(tree)) {
    const at = [...path, key];
    if (optionAt(at) !== undefined) settings.push({ path: at, value, source: place(at) });
    else report({ path: keyPath(at), source: place(at), message: unknownChannelOption(path, key) });
  }
  return settings;
}

function unknownChannelOption(path: readonly string[], key: string): string {
  // `[channels.chat]` is what somebody writes who wants `[namespaces.chat]`, and a server option may have slid into a section.
  if (Object.hasOwn(SERVER_OPTIONS, key)) return `there is no such option here; ${key} stands outside of every section`;
  const known = Object.keys(CHANNEL_OPTIONS).map((name) => keyPath([...path, name]));
  return `there is no such option${suggestion(keyPath([...path, key]), known, `${keyPath(path)}.`)}`;
}

function isTree(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
