import { classifyHost } from "../upstream/trust/private_address.ts";

/** An address of this machine in a network. */
export interface NetworkAddress {
  /** The name of the network interface: `eth0`. */
  readonly name: string;
  /** An IPv4 address. */
  readonly address: string;
  readonly netmask: string;
}

// RFC 1918. Other addresses that are not public are those of providers, tests and tunnels.
const PRIVATE = /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.)/;

/** Reports whether registries of a site may have an IPv4 address: one of RFC 1918, or of this machine. */
export function isSiteAddress(address: string): boolean {
  const kind = classifyHost(address);
  return kind === "loopback" ? address.startsWith("127.") : kind === "private" && PRIVATE.test(address);
}

/**
 * Reports whether a crpe may have announced an IPv4 address: that of its datagram, in the network of the interface that
 * received it (RFC 6762, section 11). An announcement leads crpe to no other machine.
 */
export function isOnLink(
  address: string,
  { sender, own }: { readonly sender: string; readonly own: NetworkAddress },
): boolean {
  if (address !== sender || !isSiteAddress(address)) return false;
  const [theirs, ours, mask] = [address, own.address, own.netmask].map(parseIpv4) as [number, number, number];
  return (theirs & mask) === (ours & mask);
}

function parseIpv4(address: string): number {
  return address.split(".").reduce((value, part) => value << 8 | Number(part), 0);
}
