/** Lists of network addresses: single ones, ranges (CIDR), and the word `loopback`. */
import { BlockList, isIP } from "node:net";

const LOOPBACK = ["127.0.0.0/8", "::1"] as const;

/** Makes the check whether an address is in the list. The entries have been checked. */
export function addressList(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => false;
  const list = new BlockList();
  for (const entry of entries.flatMap((one) => (one === "loopback" ? LOOPBACK : [one]))) {
    const [address = "", bits] = entry.split("/");
    const family = isIP(address) === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => {
    const plain = plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? "ipv6" : "ipv4");
  };
}

/** An address without its zone; one of IPv4 that comes as IPv6 (`::ffff:192.0.2.1`) as what it is. */
export function plainAddress(address: string): string {
  if (!address.includes(":")) return address;
  const [bare = ""] = address.split("%");
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  return mapped?.[1] ?? bare;
}

/** What counts as one place: an address of IPv4, or the network of 64 bits that a household or a machine gets of IPv6 (RFC 6177). */
export function placeOf(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const first = groupsOf(head);
  const last = groupsOf(tail ?? "");
  const zeros = Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => "0");
  return `${[...first, ...zeros, ...last].slice(0, 4).map(shortGroup).join(":")}::/64`;
}

function groupsOf(text: string): string[] {
  return text === "" ? [] : text.split(":");
}

function shortGroup(group: string): string {
  return group.replace(/^0+(?=.)/, "").toLowerCase();
}
