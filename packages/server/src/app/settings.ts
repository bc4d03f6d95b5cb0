/** Configuration to what the core wants to be told. */
import { type ChannelOptions, channelOptionsOf, type Config, type NamespaceOptions } from "../config/schema.ts";
import type { ChannelOptions as CoreChannelOptions, Settings } from "../core/settings.ts";
import type { Posture } from "./posture.ts";
import { PRESET_NAMESPACES } from "./presets.ts";

/** Channels of the demo page: open to everybody on this machine. */
const DEMO: NamespaceOptions = {
  subscribe: "everybody",
  publish: "everybody",
  presence: "everybody",
  history: "everybody",
  historySeconds: 86_400,
};

export function settingsOf(config: Config, posture: Posture, version: string): Settings {
  const namespaces = new Map<string, CoreChannelOptions>();
  const resolve = (options: ChannelOptions): CoreChannelOptions => channelSettings(options, posture);
  for (const name of Object.keys(config.namespaces)) namespaces.set(name, resolve(channelOptionsOf(config, name)));
  for (const preset of config.presets) {
    namespaces.set(preset, resolve({ ...config.channels, ...PRESET_NAMESPACES[preset], ...config.namespaces[preset] }));
  }
  if (posture.demo) namespaces.set("demo", resolve({ ...config.channels, ...DEMO, ...config.namespaces["demo"] }));
  return {
    version,
    pingIntervalMs: config.pingIntervalMs,
    pingTimeoutMs: config.pingTimeoutMs,
    streamMaxAgeMs: streamMaxAgeMs(config),
    queueBytesMax: config.queueBytesMax,
    queueBytesTotalMax: config.queueBytesTotalMax,
    publicationBytesMax: config.publicationBytesMax,
    depthMax: config.depthMax,
    subscriptionsMax: config.subscriptionsMax,
    recoveryMax: config.recoveryMax,
    historyPageMax: config.historyPageMax,
    presenceListMax: config.presenceListMax,
    resumeMs: config.resumeSeconds * 1000,
    channels: resolve(config.channels),
    namespaces,
  };
}

function streamMaxAgeMs({ streamMaxAgeSeconds }: Config): number {
  if (streamMaxAgeSeconds !== undefined) return streamMaxAgeSeconds * 1000;
  return process.platform === "linux" ? Infinity : 3_600_000;
}

function channelSettings(options: ChannelOptions, { access }: Posture): CoreChannelOptions {
  return {
    historySize: options.historySize,
    historyMs: options.historySeconds * 1000,
    start: options.start,
    inbox: options.inbox,
    subscribe: options.subscribe ?? access.subscribe,
    publish: options.publish ?? access.publish,
    presence: options.presence ?? access.presence,
    history: options.history ?? access.history,
    leaveDelayMs: options.leaveDelayMs,
    bareEcho: options.bareEcho,
  };
}
