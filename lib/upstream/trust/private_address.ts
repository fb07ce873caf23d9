// Addresses that are not globally reachable (IANA's special-purpose address registry), and 168.63.129.16, the metadata
// service of Azure, whose address looks public.
const PRIVATE_IPV4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["168.63.129.16", 32],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
];

// Names that only a local resolver knows (RFC 6761, 6762, 8375, 9476), and others in common use in local networks.
const PRIVATE_SUFFIX =
  /(?:^|\.)(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|test|invalid|alt|home\.arpa)$/;

/**
 * Converts a host to the canonical form that a URL has: lower case, IPv4 in dotted decimals (also for `0x7f.1` and
 * `2130706433`), IPv6 compressed and in brackets, without port and final dot.
 *
 * @returns `undefined` when `host` is not a valid host
 */
export function canonicalHostname(host: string): string | undefined {
  const text = host.includes("://") ? host : `http://${isBareIpv6(host) ? `[${host}]` : host}/`;
  if (!URL.canParse(text)) return undefined;
  const { hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return undefined;
  const trimmed = hostname.replace(/\.+$/, "");
  return trimmed === "" ? undefined : trimmed;
}

/** Reports whether a host (with or without port) is an IP address, not a name. */
export function isIpLiteral(host: string): boolean {
  const hostname = canonicalHostname(host);
  return hostname !== undefined && (hostname.startsWith("[") || parseIpv4(hostname) !== undefined);
}

/** Reports whether a host (with or without port) is this machine, by its name or its address. */
export function isLoopbackHost(host: string): boolean {
  const hostname = canonicalHostname(host);
  return hostname !== undefined &&
    (hostname === "[::1]" || /(?:^|\.)localhost$/.test(hostname) || /^127\.\d+\.\d+\.\d+$/.test(hostname));
}

/**
 * Reports whether a host (with or without port) is not public: an address of this machine, of a private network or of a
 * cloud's metadata service, a name that only a local resolver knows, or an invalid host. Names are not resolved; see
 * `createAddressCheck`.
 */
export function isPrivateHost(host: string): boolean {
  const hostname = canonicalHostname(host);
  if (hostname === undefined) return true;
  if (hostname.startsWith("[")) return isPrivateIpv6(hostname.slice(1, -1));
  const ipv4 = parseIpv4(hostname);
  if (ipv4 !== undefined) return isPrivateIpv4(ipv4);
  return !hostname.includes(".") || PRIVATE_SUFFIX.test(hostname);
}

function isBareIpv6(host: string): boolean {
  return host.split(":").length > 2 && !host.startsWith("[");
}

function parseIpv4(hostname: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(hostname)?.slice(1);
  return parts?.reduce((value, part) => value * 256 + Number(part), 0);
}

function isPrivateIpv4(address: number): boolean {
  return PRIVATE_IPV4.some(([base, bits]) => {
    const block = 2 ** (32 - bits);
    return Math.floor(address / block) === Math.floor(parseIpv4(base)! / block);
  });
}

function isPrivateIpv6(text: string): boolean {
  const groups = expandIpv6(text);
  const [first = 0, second = 0, third = 0] = groups;
  const ipv4At = (i: number) => groups[i]! * 65536 + groups[i + 1]!;
  // NAT64 (RFC 6052) and 6to4 (RFC 3056) addresses contain the IPv4 address of the destination.
  if (first === 0x64 && second === 0xff9b && groups.slice(2, 6).every((group) => group === 0)) {
    return isPrivateIpv4(ipv4At(6));
  }
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return isPrivateIpv4(ipv4At(6));
  if (first === 0x2002) return isPrivateIpv4(second * 65536 + third);
  // Teredo and the other protocol assignments; the documentation prefixes (RFC 3849, 9637).
  if (first === 0x2001 && (second < 0x200 || second === 0xdb8)) return true;
  if (first === 0x3fff && second < 0x1000) return true;
  // Of the remaining addresses, only 2000::/3 is global unicast (RFC 4291, 2.4).
  return first < 0x2000 || first > 0x3fff;
}

function expandIpv6(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const parse = (part: string) => part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const left = parse(head);
  const right = parse(tail ?? "");
  return [...left, ...new Array(Math.max(0, 8 - left.length - right.length)).fill(0), ...right];
}
