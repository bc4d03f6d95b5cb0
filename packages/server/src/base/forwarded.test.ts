import { expect, test } from "bun:test";
import { addressList, placeOf } from "./address-list.ts";
import { forwardedAddress } from "./forwarded.ts";

const isTrusted = addressList(["10.0.0.0/8", "2001:db8:1::/48", "loopback"]);

test("[LM-3] lists of addresses: single ones, ranges of both families, loopback, IPv4 that comes as IPv6", () => {
  const has = addressList(["192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "loopback"]);
  for (const address of ["192.0.2.7", "10.255.0.1", "::ffff:10.0.0.1", "2001:db8:ffff::1", "127.9.9.9", "::1"]) {
    expect([address, has(address)]).toEqual([address, true]);
  }
  for (const address of [
    "192.0.2.8",
    "11.0.0.1",
    "::ffff:11.0.0.1",
    "2001:db9::1",
    "::2",
    "",
    "10.0.0.0/8",
    "loopback",
  ]) {
    expect([address, has(address)]).toEqual([address, false]);
  }
  expect(addressList([])("127.0.0.1")).toBe(false);
});

test("[LM-3] X-Forwarded-For: the rightmost address that is no trusted proxy's", () => {
  for (const [value, address] of [
    ["192.0.2.1", "192.0.2.1"],
    ["6.6.6.6, 192.0.2.1", "192.0.2.1"],
    ["192.0.2.1, 10.0.0.5, 10.0.0.6", "192.0.2.1"],
    ["6.6.6.6, 192.0.2.1,10.0.0.5", "192.0.2.1"],
    ["garbage, 192.0.2.1", "192.0.2.1"],
    ["10.0.0.9, 10.0.0.5", "10.0.0.9"],
    ["2001:db8:2::1, 2001:db8:1::1", "2001:db8:2::1"],
    ["[2001:db8:2::1]:4711", "2001:db8:2::1"],
    ["192.0.2.1:4711", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["192.0.2.1, garbage", undefined],
    ["192.0.2.1,", undefined],
    ["", undefined],
    ["unknown", undefined],
    ["192.0.2.1 192.0.2.2", undefined],
    ["192.0.2.300", undefined],
  ] as const) {
    expect([value, forwardedAddress("x-forwarded-for", value, isTrusted)]).toEqual([value, address]);
  }
});

test("[LM-3] Forwarded (RFC 7239): `for` of the rightmost element that is no trusted proxy's", () => {
  for (const [value, address] of [
    ["for=192.0.2.1", "192.0.2.1"],
    ['For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"],
    ["for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"],
    ["proto=https; for=192.0.2.60", "192.0.2.60"],
    ['for=6.6.6.6, for="192.0.2.1:80";proto=https, for=10.0.0.5', "192.0.2.1"],
    // An open quote from the client does not swallow what its proxy appends.
    ['for="6.6.6.6, for=192.0.2.1', "192.0.2.1"],
    ["for=unknown", undefined],
    ["for=_hidden", undefined],
    ["proto=https", undefined],
    ['for="192.0.2.1', undefined],
    ["xfor=192.0.2.1", undefined],
  ] as const) {
    expect([value, forwardedAddress("forwarded", value, isTrusted)]).toEqual([value, address]);
  }
});

test("[LM-10] a place is an address of IPv4, or a network of 64 bits of IPv6", () => {
  for (const [address, place] of [
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::1", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002::", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["fe80::1:2:3:4:5", "fe80:0:0:1::/64"],
    ["", ""],
  ] as const) {
    expect([address, placeOf(address)]).toEqual([address, place]);
  }
});
