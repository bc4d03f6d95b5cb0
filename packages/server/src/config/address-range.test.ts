import { expect, test } from "bun:test";
import { addressFault } from "./address-range.ts";

test("[LM-3] an entry that is none is refused with words", () => {
  for (const entry of ["10.0.0.0/8", "10.1.2.3", "::1", "fe80::/10", "0.0.0.0/0", "loopback"]) {
    expect([entry, addressFault(entry)]).toEqual([entry, undefined]);
  }
  for (const entry of [
    "10.0.0.0/33",
    "::/129",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "10.0.0",
    "proxy.local",
    "fe80::1%eth0",
    "",
  ]) {
    expect([entry, typeof addressFault(entry)]).toEqual([entry, "string"]);
  }
});
