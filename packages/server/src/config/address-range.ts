/** The kind of an entry of `trustedProxies`. */
import { isIP } from "node:net";
import { type Kind, refuse, text } from "./kinds.ts";

const ALLOWED = "an IP address, a range such as 10.0.0.0/8, or loopback";

export const addressRange: Kind<string> = {
  ...text,
  allowed: ALLOWED,
  check(value, path, report) {
    const fault = typeof value === "string" ? addressFault(value) : "";
    if (fault === "") refuse(report, path, ALLOWED, value);
    else if (fault !== undefined) report(path, `must be ${ALLOWED}; found ${JSON.stringify(value)}: ${fault}`);
    return value as string;
  },
};

/** What is wrong with an entry; undefined: nothing. */
export function addressFault(entry: string): string | undefined {
  if (entry === "loopback") return undefined;
  const [address = "", bits, ...more] = entry.split("/");
  const family = address.includes("%") ? 0 : isIP(address);
  if (family === 0) return "this is no IP address";
  if (bits === undefined) return undefined;
  const most = family === 4 ? 32 : 128;
  const good = more.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most;
  return good ? undefined : `behind the / stands a number of bits, from 0 to ${most}`;
}
