/** A network interface of this machine, as `Deno.networkInterfaces()` returns it. */
interface NetworkInterface {
  readonly family: string;
  readonly address: string;
  readonly netmask: string;
}

const LARGEST_BITS = 24;

/**
 * Lists the host addresses of an IPv4 subnet, such as `10.1.2.0/24`, without the network address and the broadcast
 * address. Subnets of /31 and /32 have neither (RFC 3021).
 *
 * @returns `undefined` when the text is not a subnet, or the subnet is larger than /24
 */
export function addressesOfSubnet(cidr: string): string[] | undefined {
  const match = /^([0-9.]+)\/([0-9]{1,2})$/.exec(cidr);
  const address = parseIpv4(match?.[1] ?? "");
  const bits = Number(match?.[2]);
  if (address === undefined || bits < LARGEST_BITS || bits > 32) return undefined;
  const size = 2 ** (32 - bits);
  const first = address - address % size;
  const all = Array.from({ length: size }, (_, i) => formatIpv4(first + i));
  return size > 2 ? all.slice(1, -1) : all;
}

/**
 * Lists the subnets to search for agents: those of this machine's private IPv4 addresses (RFC 1918). Of a subnet larger
 * than /24 it is the /24 that has the machine's address. Each subnet is listed once.
 */
export function localSubnets(interfaces: readonly NetworkInterface[]): string[] {
  const found = new Set<string>();
  for (const { family, address: text, netmask } of interfaces) {
    const address = family === "IPv4" ? parseIpv4(text) : undefined;
    const mask = parseIpv4(netmask);
    if (address === undefined || mask === undefined || !isPrivate(address)) continue;
    const maskBits = 32 - Math.log2(2 ** 32 - mask);
    if (!Number.isInteger(maskBits)) continue;
    const bits = Math.max(LARGEST_BITS, maskBits);
    found.add(`${formatIpv4(address - address % 2 ** (32 - bits))}/${bits}`);
  }
  return [...found];
}

function isPrivate(address: number): boolean {
  return [["10.0.0.0", 8], ["172.16.0.0", 12], ["192.168.0.0", 16]].some(([network, bits]) => {
    const size = 2 ** (32 - Number(bits));
    return address - address % size === parseIpv4(String(network));
  });
}

function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256)) {
    return undefined;
  }
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}
