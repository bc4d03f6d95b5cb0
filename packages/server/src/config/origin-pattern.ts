/**
 * Entries of `origins`: exact origins, all sub-domains of a domain, `null`, `*`. Parsed here, so that a wrong one is refused at the start:
 * an entry that matches nothing looks like one that works until the first page is turned away.
 */
import { type Kind, refuse, text } from "./kinds.ts";

/** Origins by scheme and port, and by the host or the end of it. */
export interface OriginPattern {
  /** With its colon, in lower case. */
  readonly scheme: string;
  /** In lower case; of a pattern of sub-domains what comes after the first dot, the dot included. */
  readonly host: string;
  /** Empty: the scheme's own. */
  readonly port: string;
  readonly isSuffix: boolean;
}

/** A page of no origin that could be named: from a file, or in a sandboxed frame. */
const OPAQUE = "null";

/** The parts of an origin as a browser sends it; undefined: it is none. */
export function parseOrigin(origin: string): OriginPattern | undefined {
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\\\s]+$/i.test(origin) || !URL.canParse(origin)) return undefined;
  const { protocol, hostname, port } = new URL(origin);
  return hostname === "" ? undefined : { scheme: protocol, host: hostname.toLowerCase(), port, isSuffix: false };
}

/** A pattern of `origins`, or what is wrong with it. */
export function parseOriginPattern(entry: string): OriginPattern | string {
  if (!entry.includes("://")) return `it begins with a scheme: https://${entry}`;
  const marked = /^([^:]+:\/\/)\*\.(.+)$/.exec(entry);
  const origin = marked === null ? entry : `${marked[1]}${marked[2]}`;
  if (origin.includes("*")) return "a * stands alone or for the sub-domains of a host: https://*.example.com";

  if (/^wss?:/i.test(origin)) return "it is the page's address that counts, which begins with https:// or http://";
  const parsed = parseOrigin(origin);
  if (parsed === undefined) {
    const whole = URL.canParse(origin) ? new URL(origin) : undefined;
    const hint =
      whole === undefined || whole.host === ""
        ? ""
        : `: ${whole.protocol}//${marked === null ? "" : "*."}${whole.host}`;
    return `it is a scheme, a host and perhaps a port, and nothing else${hint}`;
  }
  if (marked === null) return parsed;
  if (/^\[|^[\d.]+$/.test(parsed.host)) return "an address has no sub-domains";
  if (!parsed.host.includes(".") && parsed.host !== "localhost") return "it would take in a whole top-level domain";
  return { ...parsed, host: `.${parsed.host}`, isSuffix: true };
}

const ALLOWED = 'an origin such as https://example.com or https://*.example.com:8443, "null", or "*"';

/** The kind of an entry of `origins`. */
export const originEntry: Kind<string> = {
  ...text,
  allowed: ALLOWED,
  check(value, path, report) {
    if (typeof value !== "string" || value.trim() === "") refuse(report, path, ALLOWED, value);
    else if (value !== "*" && value !== OPAQUE) {
      const fault = parseOriginPattern(value);
      if (typeof fault === "string") report(path, `must be ${ALLOWED}; found ${JSON.stringify(value)}: ${fault}`);
    }
    return value as string;
  },
};
