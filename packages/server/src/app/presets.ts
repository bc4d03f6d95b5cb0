/** Presets: plain WebSocket chats at `/`, as the tutorials of Ratchet and Swoole have them (SPEC.md, RW-7). */
import { ReplyError } from "../base/failures.ts";
import type { NamespaceOptions } from "../config/schema.ts";
import { failureAnswer } from "../http/answers.ts";
import { splitUrl } from "../http/router.ts";
import { BareProtocol } from "../protocols/bare.ts";
import { readChannelHandshake } from "../transports/handshake.ts";
import { type UpgradeParts, webSocketMount } from "./upgrade.ts";
import type { WebAnswer } from "./web-server.ts";

/** A preset opens its namespace to everybody; what is configured for that namespace goes before. */
export const PRESET_NAMESPACES = {
  ratchet: { subscribe: "everybody", publish: "everybody", bareEcho: false },
  swoole: { subscribe: "everybody", publish: "everybody", bareEcho: true },
} as const satisfies Readonly<Record<string, NamespaceOptions>>;

type Preset = keyof typeof PRESET_NAMESPACES;

/** `/` of a port, for one channel. */
export function presetMount(parts: UpgradeParts, preset: Preset): ReturnType<typeof webSocketMount> {
  const channel = `${preset}:chat`;
  const hint = `plain WebSockets are taken here: a page that connects with ws:// to this address is in the chat ${channel}`;
  return webSocketMount(parts, hint, (query) => ({
    protocol: new BareProtocol(channel, true),
    handshake: readChannelHandshake(query, channel),
  }));
}

/** What answers on the port of the preset swoole. */
export function swooleAnswer(parts: UpgradeParts): WebAnswer {
  const mount = presetMount(parts, "swoole");
  return (request, server) => {
    if (splitUrl(request.url).path === "/") return mount(request, server, "");
    return failureAnswer(new ReplyError("notFound", "on this port there is a WebSocket at / and nothing else"));
  };
}
