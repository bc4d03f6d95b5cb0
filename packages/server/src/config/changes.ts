/** What a reload changes: which options differ, and which of them have to wait for a restart. */
import { crossFaults } from "./rules.ts";
import { CHANNEL_OPTIONS, type Config, SERVER_OPTIONS } from "./schema.ts";
import { ConfigError, keyPath } from "./setting.ts";

export interface Changes {
  /** Key paths of what is taken over. */
  readonly changed: readonly string[];
  /** Key paths of what stays as it is until a restart. */
  readonly restart: readonly string[];
  /** The running configuration with what is taken over. */
  readonly config: Config;
}

/** Throws `ConfigError` where what is taken over does not go together with what stays. */
export function changesOf(running: Config, next: Config): Changes {
  const changed: string[] = [];
  const restart: string[] = [];
  const kept: Record<string, unknown> = {};
  for (const [key, { reloadable }] of Object.entries(SERVER_OPTIONS)) {
    const name = key as keyof typeof SERVER_OPTIONS;
    if (!reloadable) kept[name] = running[name];
    if (!Bun.deepEquals(running[name], next[name], true)) (reloadable ? changed : restart).push(name);
  }
  changed.push(...sectionChanges(["channels"], running.channels, next.channels));
  const names = new Set([...Object.keys(running.namespaces), ...Object.keys(next.namespaces)]);
  for (const name of names) {
    changed.push(...sectionChanges(["namespaces", name], running.namespaces[name] ?? {}, next.namespaces[name] ?? {}));
  }
  const config = Object.freeze({ ...next, ...kept });
  const faults = crossFaults(config, (path) => (restart.includes(path) ? "as it runs" : "the new configuration"));
  if (faults.length > 0) throw new ConfigError(faults);
  return { changed, restart, config };
}

type Section = Readonly<Record<string, unknown>>;

function sectionChanges(path: readonly string[], running: Section, next: Section): string[] {
  const differing = Object.keys(CHANNEL_OPTIONS).filter((key) => running[key] !== next[key]);
  return differing.map((key) => keyPath([...path, key]));
}
