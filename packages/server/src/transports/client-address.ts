/** The address of a client: the other end of its connection, or, behind trusted proxies, whom those name (SPEC.md, group LM). */
import type { Server } from "bun";
import { addressList, plainAddress } from "../base/address-list.ts";
import { forwardedAddress, type ForwardingHeader } from "../base/forwarded.ts";
import type { Logger } from "../base/log.ts";

/**
 * The address that a proxy tells. `undefined`: the connection's own is the client's; nothing needs to be kept of it, and most
 * servers have only such clients.
 */
export type ForwardedReader = (request: Request, server: Pick<Server<unknown>, "requestIP">) => string | undefined;

/** `undefined` where no proxy is trusted: then nothing is looked at. */
export function forwardedReader(
  trustedProxies: readonly string[],
  header: ForwardingHeader,
  log: Logger,
): ForwardedReader | undefined {
  if (trustedProxies.length === 0) return undefined;
  const isTrusted = addressList(trustedProxies);
  let wasTold = false;
  return (request, server) => {
    const value = request.headers.get(header);
    if (value === null) return undefined;
    const proxy = server.requestIP(request)?.address ?? "";
    if (!isTrusted(proxy)) return undefined;
    const address = forwardedAddress(header, value, isTrusted);
    if (address !== undefined) return address;
    // Once: whatever writes it so will go on.
    if (!wasTold) log.warn("a trusted proxy sent no good address", { proxy, header, value: value.slice(0, 200) });
    wasTold = true;
    return undefined;
  };
}

export function clientAddress(
  reader: ForwardedReader | undefined,
  request: Request,
  server: Pick<Server<unknown>, "requestIP">,
): string {
  return reader?.(request, server) ?? plainAddress(server.requestIP(request)?.address ?? "");
}
