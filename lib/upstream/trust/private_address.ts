/**
 * What kind of address a host is, from the outside to the inside: reachable by everyone; of a private network; of this
 * machine; and `forbidden`, which no registry uses (link-local, multicast, and the metadata services of clouds).
 */
export type AddressClass = "public" | "private" | "loopback" | "forbidden";

const RANKS: readonly AddressClass[] = ["public", "private", "loopback", "forbidden"];

// Addresses that are not globally reachable (IANA's special-purpose address registry), and the metadata services of
// clouds outside of the link-local range: Azure, Alibaba, Oracle. The first row that matches counts.
const SPECIAL_IPV4: readonly (readonly [string, number, AddressClass])[] = [
  ["0.0.0.0", 8, "loopback"],
  ["10.0.0.0", 8, "private"],
  ["100.100.100.200", 32, "forbidden"],
  ["100.64.0.0", 10, "private"],
  ["127.0.0.0", 8, "loopback"],
  ["168.63.129.16", 32, "forbidden"],
  ["169.254.0.0", 16, "forbidden"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.192", 32, "forbidden"],
  ["192.0.0.0", 24, "private"],
  ["192.0.2.0", 24, "private"],
  ["192.88.99.0", 24, "private"],
  ["192.168.0.0", 16, "private"],
  ["198.18.0.0", 15, "private"],
  ["198.51.100.0", 24, "private"],
  ["203.0.113.0", 24, "private"],
  ["224.0.0.0", 3, "forbidden"],
];

// The metadata services of AWS and Google by IPv6.
const FORBIDDEN_IPV6 = ["fd00:ec2::254", "fd20:ce::254"].map((address) => expandIpv6(address).join(":"));

// Names of metadata services.
const FORBIDDEN_NAME =
  /^(?:metadata|instance-data|metadata\.goog|(?:[a-z0-9-]+\.)*metadata\.(?:google|azure)\.internal|instance-data\.ec2\.internal|metadata\.tencentyun\.com)$/;

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

/** Returns the innermost of several classes. */
export function innermost(classes: readonly AddressClass[]): AddressClass {
  return RANKS[Math.max(0, ...classes.map((each) => RANKS.indexOf(each)))]!;
}

/** Reports whether a class is further inside than another one. */
export function isFurtherInside(inner: AddressClass, outer: AddressClass): boolean {
  return RANKS.indexOf(inner) > RANKS.indexOf(outer);
}

/**
 * Returns the class of a host (with or without port), in any notation that a URL accepts. This is the only table of
 * addresses. Names are not resolved; see `createAddressCheck`. An invalid host is `forbidden`.
 */
export function classifyHost(host: string): AddressClass {
  const hostname = canonicalHostname(host);
  if (hostname === undefined) return "forbidden";
  if (hostname.startsWith("[")) return classifyIpv6(expandIpv6(hostname.slice(1, -1)));
  const ipv4 = parseIpv4(hostname);
  if (ipv4 !== undefined) return classifyIpv4(ipv4);
  if (FORBIDDEN_NAME.test(hostname)) return "forbidden";
  if (/(?:^|\.)localhost$/.test(hostname)) return "loopback";
  return !hostname.includes(".") || PRIVATE_SUFFIX.test(hostname) ? "private" : "public";
}

/**
 * Reports whether a host (with or without port) is not public: an address of this machine, of a private network or of a
 * cloud's metadata service, a name that only a local resolver knows, or an invalid host.
 */
export function isPrivateHost(host: string): boolean {
  return classifyHost(host) !== "public";
}

function isBareIpv6(host: string): boolean {
  return host.split(":").length > 2 && !host.startsWith("[");
}

function parseIpv4(hostname: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(hostname)?.slice(1);
  return parts?.reduce((value, part) => value * 256 + Number(part), 0);
}

function classifyIpv4(address: number): AddressClass {
  const row = SPECIAL_IPV4.find(([base, bits]) => {
    const block = 2 ** (32 - bits);
    return Math.floor(address / block) === Math.floor(parseIpv4(base)! / block);
  });
  return row?.[2] ?? "public";
}

function classifyIpv6(groups: readonly number[]): AddressClass {
  const [first = 0, second = 0, third = 0, fourth = 0] = groups;
  const ipv4At = (i: number) => classifyIpv4(groups[i]! * 65536 + groups[i + 1]!);
  const startsWithZeros = (count: number) => groups.slice(0, count).every((group) => group === 0);
  if (startsWithZeros(7) && groups[7]! <= 1) return "loopback";
  // The addresses of translators and tunnels contain the IPv4 address of the destination: IPv4-mapped (RFC 4291),
  // NAT64 (RFC 6052) and 6to4 (RFC 3056).
  if (startsWithZeros(5) && groups[5] === 0xffff) return ipv4At(6);
  if (first === 0x64 && second === 0xff9b && groups.slice(2, 6).every((group) => group === 0)) return ipv4At(6);
  if (first === 0x2002) return classifyIpv4(second * 65536 + third);
  // These are not globally reachable, and contain an IPv4 address too: IPv4-compatible (RFC 4291), IPv4-translated
  // (RFC 2765), the local prefix of NAT64 (RFC 8215), ISATAP (RFC 5214), and Teredo (RFC 4380), with inverted bits.
  const isTranslated = startsWithZeros(4) && groups[4] === 0xffff && groups[5] === 0;
  const isLocalNat64 = first === 0x64 && second === 0xff9b && third === 1;
  const isIsatap = (groups[4] === 0 || groups[4] === 0x200) && groups[5] === 0x5efe;
  if (startsWithZeros(6) || isTranslated || isLocalNat64 || isIsatap) return innermost(["private", ipv4At(6)]);
  if (first === 0x2001 && second === 0) {
    const client = (groups[6]! ^ 0xffff) * 65536 + (groups[7]! ^ 0xffff);
    return innermost(["private", classifyIpv4(client), classifyIpv4(third * 65536 + fourth)]);
  }
  if (FORBIDDEN_IPV6.includes(groups.join(":"))) return "forbidden";
  // Link-local and multicast addresses.
  if (first >= 0xfe80 && first < 0xfec0 || first >= 0xff00) return "forbidden";
  // The other protocol assignments; the documentation prefixes (RFC 3849, 9637).
  if (first === 0x2001 && (second < 0x200 || second === 0xdb8)) return "private";
  if (first === 0x3fff && second < 0x1000) return "private";
  // Of the remaining addresses, only 2000::/3 is global unicast (RFC 4291, 2.4).
  return first < 0x2000 || first > 0x3fff ? "private" : "public";
}

/** Returns the eight groups of an IPv6 address. @param text as in URLs, without brackets */
export function expandIpv6(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const parse = (part: string) => part === "" ? [] : part.split(":").map((group) => parseInt(group, 16));
  const left = parse(head);
  const right = parse(tail ?? "");
  return [...left, ...new Array(Math.max(0, 8 - left.length - right.length)).fill(0), ...right];
}
