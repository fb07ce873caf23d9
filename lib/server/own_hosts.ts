/** What a machine is called, and the addresses that it has. */
interface MachineNames {
  /** The host name, with or without a domain. */
  readonly hostname: string;
  /** Domains that names without a domain are completed with. */
  readonly domains: readonly string[];
  /** The IP addresses of the network interfaces now. */
  readonly listAddresses: () => readonly string[];
}

/**
 * The names and addresses under which a machine is reached. A web page can make a name of its own mean any address (DNS
 * rebinding), so that a request for an unknown name may be from a page that a user on the same network has open.
 */
export class OwnHosts {
  readonly #names = new Set<string>(["localhost"]);
  readonly #listAddresses: () => readonly string[];

  /** @param given names and addresses that users have allowed */
  constructor({ hostname, domains, listAddresses }: MachineNames, given: readonly string[] = []) {
    this.#listAddresses = listAddresses;
    const label = hostname.split(".", 1)[0]!;
    // `.local` belongs to multicast DNS (RFC 6762), which is limited to the local network.
    const own = [hostname, label, ...["local", ...domains].map((domain) => `${label}.${domain}`), ...given];
    for (const name of own) if (name !== "") this.#names.add(canonicalHost(name));
  }

  /**
   * Reports whether a host is this machine.
   *
   * @param host a name, or an address as in a URL
   * @param localAddress the address at which the connection was accepted
   */
  has(host: string, localAddress?: string): boolean {
    const name = canonicalHost(host);
    if (this.#names.has(name) || isLoopback(name)) return true;
    if (!isAddress(name)) return false;
    if (localAddress !== undefined && canonicalHost(localAddress) === name) return true;
    return this.#listAddresses().some((address) => canonicalHost(address) === name);
  }
}

/** Reports whether a host, as in a URL, is the local machine's loopback. */
export function isLoopback(host: string): boolean {
  const name = canonicalHost(host);
  return name === "localhost" || name === "[::1]" || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}

/** Returns the addresses of this machine's network interfaces; none if the system does not tell. */
export function listOwnAddresses(): string[] {
  try {
    return Deno.networkInterfaces().map(({ address }) => address);
  } catch {
    // Android does not let programs list the network interfaces.
    return [];
  }
}

/**
 * Finds the domains of a host name in the texts of `/etc/resolv.conf` (`search`, `domain`) and `/etc/hosts` (a full name
 * beside the short one).
 */
export function findDomains(hostname: string, { resolvConf = "", hosts = "" }): string[] {
  const label = hostname.split(".", 1)[0]!.toLowerCase();
  const lines = (text: string) => text.split("\n").map((line) => line.replace(/#.*/, "").trim().split(/\s+/));
  const searched = lines(resolvConf).flatMap(([key, ...rest]) => key === "search" || key === "domain" ? rest : []);
  const named = lines(hosts).flatMap(([_, ...names]) => names.map((name) => name.toLowerCase()))
    .filter((name) => name.startsWith(`${label}.`)).map((name) => name.slice(label.length + 1));
  return [...new Set([...searched, ...named].map((domain) => domain.toLowerCase().replace(/\.$/, "")))]
    .filter((domain) => domain !== "");
}

// The spelling of a URL: lower case, IPv4 with dots, IPv6 in brackets and compressed. An IPv4 address may be mapped.
function canonicalHost(host: string): string {
  const mapped = /^\[?::ffff:([0-9.]+)\]?$/i.exec(host)?.[1];
  const text = mapped ?? (host.includes(":") && !host.startsWith("[") ? `[${host.split("%", 1)[0]}]` : host);
  const name = URL.parse(`http://${text}`)?.hostname ?? text.toLowerCase();
  const hex = /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(name);
  if (hex === null) return name.replace(/\.$/, "");
  const [high, low] = [Number.parseInt(hex[1]!, 16), Number.parseInt(hex[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

function isAddress(name: string): boolean {
  return name.startsWith("[") || /^[0-9]+(?:\.[0-9]+){3}$/.test(name);
}
