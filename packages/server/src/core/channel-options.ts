import { namespaceOf } from "@longwire/protocol";
import type { ChannelOptions, Settings } from "./settings.ts";

/** The options of a channel: those of its namespace, or the general ones. */
export function channelOptions(settings: Pick<Settings, "channels" | "namespaces">, channel: string): ChannelOptions {
  return settings.namespaces.get(namespaceOf(channel)) ?? settings.channels;
}
