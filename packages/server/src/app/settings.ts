/** Configuration to what the core wants to be told. */
import {
  asksWhoConnects,
  type ChannelOptions,
  channelOptionsOf,
  type Config,
  type NamespaceOptions,
} from "../config/schema.ts";
import type { ChannelOptions as CoreChannelOptions, LimitSettings, Settings, Who } from "../core/settings.ts";
import { addressList } from "../base/address-list.ts";
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
  const channels = resolve(config.channels);
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
    tokenGraceMs: config.tokenGraceSeconds * 1000,
    connectTimeoutMs: config.connectTimeoutMs,
    anonymous: anonymityOf(config, posture, [channels, ...namespaces.values()]),
    askConnect: asksWhoConnects(config) ? config.hookConnect : "never",
    limits: limitsOf(config),
    channels,
    namespaces,
  };
}

/** Whether clients without a token can come for something; where nobody can have one, there is nothing else to come with. */
function anonymityOf(
  { anonymous }: Config,
  { hasTokens }: Posture,
  places: readonly CoreChannelOptions[],
): Settings["anonymous"] {
  if (anonymous === false) return "refused";
  // Whom a hook lets in need not be anybody.
  const isOpen = places.some((options) => ACTIONS.some((action) => OPEN_RULES.has(options[action])));
  return anonymous === true || isOpen || !hasTokens ? "welcome" : "tolerated";
}

const OPEN_RULES: ReadonlySet<Who> = new Set(["everybody", "hook"]);

const ACTIONS = ["subscribe", "publish", "presence", "history"] as const;

function limitsOf(config: Config): LimitSettings {
  return {
    commandsPerSecond: rateOf(config.commandsPerSecond),
    bytesPerSecond: rateOf(config.bytesPerSecond),
    publishesPerSecond: rateOf(config.publishesPerSecond),
    burstSeconds: config.burstSeconds,
    messageBytesMax: config.messageBytesMax,
    connectionsPerAddressMax: rateOf(config.connectionsPerAddressMax),
    connectionsPerUserMax: rateOf(config.connectionsPerUserMax),
    publishesPerSecondPerAddress: rateOf(config.publishesPerSecondPerAddress),
    publishesPerSecondPerUser: rateOf(config.publishesPerSecondPerUser),
    isExempt: addressList(["loopback", ...config.trustedProxies]),
  };
}

function rateOf(value: number | "off"): number {
  return value === "off" ? Infinity : value;
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
    // Whom the application keeps out of a channel shall not read it in another way.
    presence: options.presence ?? (options.subscribe === "hook" ? "hook" : access.presence),
    history: options.history ?? (options.subscribe === "hook" ? "hook" : access.history),
    leaveDelayMs: options.leaveDelayMs,
    bareEcho: options.bareEcho,
    escapeHtml: options.escapeHtml,
  };
}
