/** Which path is which transport and protocol. */
import type { Protocol } from "../ports/protocol.ts";
import { BareProtocol, dataProtocol } from "../protocols/bare.ts";
import { nativeProtocol } from "../protocols/native.ts";
import { deflatedProtocol } from "../protocols/deflated.ts";
import { readChannelHandshake, readHandshake } from "../transports/handshake.ts";
import { presetMount } from "./presets.ts";
import { type Mount, oneWayMounts, type OneWayParts, type WebServer } from "./one-way.ts";
import { type UpgradeParts, webSocketMount } from "./upgrade.ts";

export interface MountParts extends UpgradeParts, OneWayParts {
  /** Whether plain WebSockets at `/` are in the chat of the preset. */
  readonly ratchet: boolean;
}

export interface Mounts {
  find(path: string): ((request: Request, server: WebServer) => ReturnType<Mount>) | undefined;
}

/** Long connections by path. */
export function createMounts(parts: MountParts): Mounts {
  /** By the whole path; a path that ends with `/` takes one more segment. */
  const mounts = new Map<string, Mount>([
    ["/ws", nativeMount(parts)],
    ["/raw/", rawMount(parts)],
    ...oneWayMounts(parts),
  ]);
  if (parts.ratchet) mounts.set("/", presetMount(parts, "ratchet"));
  return {
    find(path) {
      const mount = mounts.get(path);
      if (mount !== undefined) return (request, server) => mount(request, server, "");
      const end = path.lastIndexOf("/") + 1;
      // `/` itself takes no segment.
      const deep = end > 1 && end < path.length ? mounts.get(path.slice(0, end)) : undefined;
      if (deep === undefined) return undefined;
      return (request, server) => deep(request, server, path.slice(end));
    },
  };
}

function nativeMount(parts: MountParts): Mount {
  const native = nativeProtocol(parts.depthMax);
  const data = dataProtocol(parts.depthMax);
  const deflated = parts.compression ? deflatedProtocol(native) : native;
  const protocolOf = (query: string): Protocol => {
    if (query === "") return native;
    const parameters = new URLSearchParams(query);
    if (parameters.get("frames") === "data") return data;
    return parameters.get("compress") === "deflate" ? deflated : native;
  };
  return webSocketMount(parts, "this is a WebSocket endpoint: connect with ws:// or wss://", (query) => ({
    protocol: protocolOf(query),
    handshake: readHandshake(query, parts.channelsMax),
  }));
}

function rawMount(parts: MountParts): Mount {
  const hint = "plain WebSockets for this channel are taken here: connect with ws:// or wss://";
  return webSocketMount(parts, hint, (query, tail) => {
    const handshake = readChannelHandshake(query, tail);
    return { protocol: new BareProtocol(handshake.channels[0] ?? "", true), handshake };
  });
}
