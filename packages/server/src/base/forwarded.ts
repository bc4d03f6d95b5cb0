/**
 * Who a proxy says it speaks for. Every proxy on the way appends the address that it sees to the right, so the list is read from there: the
 * first address that is no trusted proxy's is the client's. What stands left of it may have been written by anybody.
 */
import { isIP } from "node:net";
import { plainAddress } from "./address-list.ts";

export const FORWARDING_HEADERS = ["x-forwarded-for", "forwarded"] as const;
export type ForwardingHeader = (typeof FORWARDING_HEADERS)[number];

/** The client's address; `undefined`: a proxy did not write what it should have. */
export function forwardedAddress(
  header: ForwardingHeader,
  value: string,
  isTrusted: (address: string) => boolean,
): string | undefined {
  // Elements are split before quotes are looked at: an open quote that a client has sent shall not swallow what its proxy appends.
  const elements = value.split(",");
  let address: string | undefined;
  for (let at = elements.length - 1; at >= 0; at--) {
    const node = header === "forwarded" ? nodeOf(elements[at] ?? "") : (elements[at] ?? "").trim();
    const next = node === undefined ? undefined : addressOf(node);
    if (next === undefined) return undefined;
    address = next;
    if (!isTrusted(next)) break;
  }
  return address;
}

/** The `for` of an element (RFC 7239 section 4), without its quotes. */
function nodeOf(element: string): string | undefined {
  for (const pair of element.split(";")) {
    const match = /^\s*for\s*=\s*(?:"([^"\\]*)"|([^\s";]+))\s*$/i.exec(pair);
    if (match !== null) return match[1] ?? match[2];
  }
  return undefined;
}

/** `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`. `unknown` and made-up names are no addresses. */
function addressOf(node: string): string | undefined {
  const bare =
    /^\[([^\]]+)\](?::\d{1,5})?$/.exec(node)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/.exec(node)?.[1] ?? node;
  return isIP(bare) === 0 ? undefined : plainAddress(bare);
}
