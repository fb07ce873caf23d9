import type { Io } from "../console/io.ts";

/**
 * Returns a function that tells which proxy the runtime uses for a URL, as `host:port`; `undefined` for none. The
 * runtime itself reads `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case.
 */
export function createProxyFinder(io: Pick<Io, "env">): (url: URL) => string | undefined {
  const read = (name: string) => io.env(name) ?? io.env(name.toLowerCase());
  const all = read("ALL_PROXY");
  const proxies = { "http:": read("HTTP_PROXY") ?? all, "https:": read("HTTPS_PROXY") ?? all };
  const exceptions = (read("NO_PROXY") ?? "").split(",").map((entry) => entry.trim().toLowerCase()).filter(Boolean);
  return ({ protocol, hostname }) => {
    const proxy = protocol === "http:" || protocol === "https:" ? proxies[protocol] : undefined;
    if (proxy === undefined || exceptions.some((entry) => matches(entry, hostname))) return undefined;
    const url = proxy.includes("://") ? proxy : `http://${proxy}`;
    // The URL may have a password.
    return URL.canParse(url) ? new URL(url).host : "named by the environment";
  };
}

// `*`, an address, a network (`10.0.0.0/8`), or a domain, which includes its subdomains.
function matches(entry: string, hostname: string): boolean {
  if (entry === "*") return true;
  const [network = "", bits] = entry.split("/");
  const bare = hostname.replace(/^\[|\]$/g, "");
  if (bits !== undefined) return isWithin(bare, network, Number(bits));
  const domain = entry.replace(/^\*?\./, "");
  return bare === domain || bare.endsWith(`.${domain}`);
}

function isWithin(address: string, network: string, bits: number): boolean {
  const [a, b] = [address, network].map(parseIpv4);
  if (a === undefined || b === undefined || !(bits >= 0 && bits <= 32)) return false;
  const block = 2 ** (32 - bits);
  return Math.floor(a / block) === Math.floor(b / block);
}

function parseIpv4(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1);
  return parts?.reduce((value, part) => value * 256 + Number(part), 0);
}
