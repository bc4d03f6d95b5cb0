/** The kind of an entry of `trustedProxies`. */
import { addressFault } from "../base/address-list.ts";
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
