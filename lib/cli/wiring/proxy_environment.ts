import type { NamedProxy } from "../../doctor/check_proxies.ts";
import { expandIpv6 } from "../../upstream/trust/private_address.ts";
import type { Io } from "../console/io.ts";

/** The proxies of the environment, which the runtime itself uses. */
interface ProxyEnvironment {
  /** Returns the proxy that the runtime uses for a URL, as `host:port`; `undefined` for none. */
  readonly proxyOf: (url: URL) => string | undefined;
  /** The variables that are set. */
  readonly proxies: readonly NamedProxy[];
  /** The entries of `NO_PROXY` that the runtime never applies. */
  readonly uselessExceptions: readonly string[];
}

const PROTOCOLS = ["http:", "https:", "socks5:", "socks5h:"];
const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443 };

/**
 * Reads `ALL_PROXY`, `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` as the runtime does: in lower case where the variable in
 * upper case is not set or not valid, and with `ALL_PROXY` before the other ones.
 */
export function readProxyEnvironment(io: Pick<Io, "env">): ProxyEnvironment {
  const read = (name: string) => {
    const set = [name, name.toLowerCase()].flatMap((variable) => {
      const value = io.env(variable);
      return value === undefined ? [] : [{ variable, address: parseProxy(value) }];
    });
    return set.find(({ address }) => address !== undefined) ?? set[0];
  };
  const [all, http, https] = ["ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"].map(read);
  const exceptions = (io.env("NO_PROXY") ?? io.env("no_proxy") ?? "").split(",").map((entry) => entry.trim());
  return {
    proxyOf: ({ protocol, hostname }) => {
      const own = protocol === "http:" ? http : protocol === "https:" ? https : undefined;
      const { address } = all?.address === undefined ? own ?? {} : all;
      if (address === undefined || exceptions.some((entry) => isExcepted(hostname, entry))) return undefined;
      return `${address.hostname}:${address.port}`;
    },
    proxies: [all, http, https].filter((proxy) => proxy !== undefined),
    uselessExceptions: exceptions.filter(isUseless),
  };
}

// The URL may have a password, which is not kept.
function parseProxy(text: string): NamedProxy["address"] {
  const url = text.includes("://") ? text : `http://${text}`;
  if (!URL.canParse(url)) return undefined;
  const { protocol, hostname, port } = new URL(url);
  const number = port === "" ? DEFAULT_PORTS[protocol] ?? 1080 : Number(port);
  return PROTOCOLS.includes(protocol) && hostname !== "" ? { hostname, port: number } : undefined;
}

// `*` for every name, an address, a network (`10.0.0.0/8`), or a domain, which includes its subdomains.
function isExcepted(hostname: string, entry: string): boolean {
  if (entry === "") return false;
  const address = parseAddress(hostname.replace(/^\[|\]$/g, ""));
  if (address === undefined) {
    const domain = entry.replace(/^\./, "");
    return entry === "*" || hostname === domain || hostname.endsWith(`.${domain}`);
  }
  const [text = "", bits] = entry.split("/");
  const network = parseAddress(text);
  if (network === undefined || network.length !== address.length) return false;
  const length = bits === undefined ? network.length : Number(bits);
  return length >= 0 && length <= network.length && network.slice(0, length) === address.slice(0, length);
}

// The runtime compares names as they are written, and in URLs they are in lower case and without a port.
function isUseless(entry: string): boolean {
  const isAddress = parseAddress(entry.split("/")[0]!) !== undefined;
  return !isAddress && entry !== "*" && /[A-Z*:/]/.test(entry);
}

/** Returns the bits of an address, as text; `undefined` for a name. */
function parseAddress(text: string): string | undefined {
  const toBits = (values: readonly number[], width: number) =>
    values.map((value) => value.toString(2).padStart(width, "0")).join("");
  if (/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) return toBits(text.split(".").map(Number), 8);
  if (!text.includes(":") || !URL.canParse(`http://[${text}]/`)) return undefined;
  return toBits(expandIpv6(new URL(`http://[${text}]/`).hostname.slice(1, -1)), 16);
}
